//! Every case of the golden manifests against PyTorch's numbers. `WEBMAE_GOLDEN_DIR` names another
//! folder with cases of the same kinds and other sizes.

mod case;
mod classifier;
#[path = "../common/mod.rs"]
mod common;
mod mae;
mod preprocessing;
mod primitives;
mod trajectory;

use std::path::{Path, PathBuf};

use case::Case;

#[test]
fn every_case_of_the_manifests() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = match std::env::var_os("WEBMAE_GOLDEN_DIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => ["golden", "golden-vit"].map(|name| fixtures.join(name)).into(),
    };
    let failures: Vec<String> = folders.iter().flat_map(|folder| run(folder)).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Every case of a folder's manifest; returns what failed.
fn run(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("manifest.json")).expect("a golden manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    let cases = manifest["cases"].as_array().expect("a list of cases");
    assert!(!cases.is_empty(), "an empty manifest proves nothing");
    let mut failures = Vec::new();
    for json in cases {
        let name = json["name"].as_str().expect("a name");
        let kind = json["kind"].as_str().expect("a kind");
        let found = match kind {
            "preprocessing" => preprocessing::run(dir, json),
            _ => {
                let case = Case::read(dir, json);
                match kind {
                    "hf_mae" | "blog_mae" | "vitp_mae" => mae::run(&case),
                    "hf_vit_cls" | "timm_vit_avg" | "plain_vit_cls" | "plain_vit_mean"
                    | "vitp_vit_cls" | "vitp_vit_mean" => classifier::run(&case),
                    "adamw_trajectory" => trajectory::adamw(&case),
                    "lars_trajectory" => trajectory::lars(&case),
                    "primitives" => primitives::run(&case),
                    other => vec![format!("no test for kind {other}")],
                }
            }
        };
        println!("{name} ({kind}): {}", if found.is_empty() { "ok" } else { "FAILED" });
        failures.extend(found.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    failures
}
