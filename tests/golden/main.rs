//! Every case of the golden manifest against PyTorch's numbers. `WEBMAE_GOLDEN_DIR` names another
//! folder with cases of the same kinds and other sizes.

mod case;
mod classifier;
#[path = "../common/mod.rs"]
mod common;
mod mae;
mod preprocessing;
mod primitives;
mod trajectory;

use std::path::PathBuf;

use case::Case;

#[test]
fn every_case_of_the_manifest() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/golden");
    let dir = std::env::var_os("WEBMAE_GOLDEN_DIR").map_or_else(|| default.into(), PathBuf::from);
    let text = std::fs::read_to_string(dir.join("manifest.json")).expect("a golden manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    let cases = manifest["cases"].as_array().expect("a list of cases");
    assert!(!cases.is_empty(), "an empty manifest proves nothing");
    let mut failures = Vec::new();
    for json in cases {
        let name = json["name"].as_str().expect("a name");
        let kind = json["kind"].as_str().expect("a kind");
        let found = match kind {
            "preprocessing" => preprocessing::run(&dir, json),
            _ => {
                let case = Case::read(&dir, json);
                match kind {
                    "hf_mae" | "blog_mae" | "vitp_mae" => mae::run(&case),
                    "hf_vit_cls" | "timm_vit_avg" => classifier::run(&case),
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
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
