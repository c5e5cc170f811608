//! `webmae verify` on the adapter of the tests: every kernel agrees with its twin, and what does not is seen.

mod common;

use std::collections::BTreeSet;

use pollster::block_on;
use webmae::kernels::{SHADERS, Shader};
use webmae::verify::{cases, verdicts};

#[test]
fn every_kernel_agrees_with_its_twin() {
    let gpu = common::gpu().gpu().expect("a GPU");
    let mut comparisons = Vec::new();
    for case in cases(gpu, false) {
        let compared = block_on(case.compare(gpu)).expect("a comparison");
        assert!(!compared.is_empty(), "{}: nothing was compared", case.name());
        comparisons.extend(compared);
    }
    let verdicts = verdicts(&comparisons);
    let wrong: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.holds())
        .map(|v| {
            format!("{} ({}): {:?} > {} at {}", v.kernel, v.variant, v.error, v.tolerance, v.worst)
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    // All of them but those of fragments, which few adapters have.
    let checked: BTreeSet<&str> = verdicts.iter().map(|verdict| verdict.kernel).collect();
    let missing: Vec<&str> = SHADERS
        .iter()
        .map(|shader: &Shader| shader.name)
        .filter(|name| !checked.contains(name) && !name.ends_with("_cooperative"))
        .collect();
    assert_eq!(missing, [] as [&str; 0], "kernels that no case launches");
}
