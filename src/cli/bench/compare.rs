//! A run held against a saved one.

use serde::Serialize;

use crate::measure::record::{BenchRecord, WorkloadResult};
use crate::measure::workload::Mode;

/// Speed of one workload and mode in two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    /// Name of the workload.
    pub workload: String,
    /// Forward pass or training step.
    pub mode: Mode,
    /// Median milliseconds per step of the saved run.
    pub saved_ms: f64,
    /// Their spread.
    pub saved_spread: f64,
    /// Median milliseconds per step of this run.
    pub ms: f64,
    /// Their spread.
    pub spread: f64,
    /// Saved over present milliseconds per image: above 1 is faster than before.
    pub ratio: f64,
    /// Spread of the ratio that those of both runs make, taken as independent.
    pub ratio_spread: f64,
}

impl Ratio {
    fn of(saved: &WorkloadResult, now: &WorkloadResult) -> Self {
        let per_image = |result: &WorkloadResult| result.ms_per_step / result.batch_size as f64;
        let ratio = per_image(saved) / per_image(now);
        let relative = |result: &WorkloadResult| result.ms_spread / result.ms_per_step;
        Self {
            workload: now.workload.clone(),
            mode: now.mode,
            saved_ms: saved.ms_per_step,
            saved_spread: saved.ms_spread,
            ms: now.ms_per_step,
            spread: now.ms_spread,
            ratio,
            ratio_spread: ratio * relative(saved).hypot(relative(now)),
        }
    }
}

/// Every result of `now` that `saved` has as well, in `now`'s order.
pub fn ratios(saved: &BenchRecord, now: &BenchRecord) -> Vec<Ratio> {
    let pair = |now: &WorkloadResult| Some(Ratio::of(saved.find(&now.workload, now.mode)?, now));
    now.results.iter().filter_map(pair).collect()
}

/// What differs between the runs besides their speed, one sentence each.
pub fn differences(saved: &BenchRecord, now: &BenchRecord) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |what: &str, saved: &str, now: &str| {
        if saved != now {
            found.push(format!("{what} differs: {saved} saved, {now} now"));
        }
    };
    note("adapter", &saved.adapter.name, &now.adapter.name);
    note("graphics API", &saved.adapter.backend, &now.adapter.backend);
    note("driver", &saved.adapter.driver, &now.adapter.driver);
    let matrices =
        |record: &BenchRecord| record.cooperative_matrices.clone().unwrap_or("none".into());
    note("use of cooperative matrices", &matrices(saved), &matrices(now));
    let variants = |record: &BenchRecord| match &record.kernel_variants[..] {
        [] => "none".to_owned(),
        variants => variants.join(", "),
    };
    note("choice of kernels", &variants(saved), &variants(now));
    for gemm in &now.gemm {
        let Some(before) = saved.best_product(gemm.precision) else { continue };
        let what = format!("extent of the best matrix product in {}", gemm.precision.name());
        note(&what, &before.extent.to_string(), &gemm.extent.to_string());
    }
    for result in &now.results {
        let (name, mode) = (&result.workload, result.mode);
        let Some(before) = saved.find(name, mode) else { continue };
        let what = |what: &str| format!("{what} of {name} {}", mode.name());
        let (batch, now_batch) = (before.batch_size.to_string(), result.batch_size.to_string());
        note(&what("batch"), &batch, &now_batch);
        let kept = |result: &WorkloadResult| if result.recompute { "on" } else { "off" };
        note(&what("recomputation"), kept(before), kept(result));
        let width = |result: &WorkloadResult| format!("{} bits", 8 * result.precision.bytes());
        note(&what("precision"), &width(before), &width(result));
        if before.model != result.model {
            note(&what("model"), "other options", "these options");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Precision;
    use crate::measure::record::tests::record;

    #[test]
    fn faster_is_above_one() {
        let saved = record(&[(Mode::Train, 8.0), (Mode::Forward, 3.0)]);
        let mut now = record(&[(Mode::Forward, 2.0), (Mode::Train, 10.0)]);
        let mut ratios = ratios(&saved, &now);
        let found: Vec<_> = ratios.iter().map(|r| (r.mode, r.ratio)).collect();
        assert_eq!(found, [(Mode::Forward, 1.5), (Mode::Train, 0.8)]);
        // Both have a spread of 3 %.
        assert!((ratios[0].ratio_spread - 1.5 * 0.03 * 2f64.sqrt()).abs() < 1e-12);
        // What was not saved has no ratio.
        now.results[0].workload = "W2".to_owned();
        ratios = super::ratios(&saved, &now);
        assert_eq!(ratios.iter().map(|r| r.mode).collect::<Vec<_>>(), [Mode::Train]);
    }

    #[test]
    fn a_larger_batch_is_not_slower_for_its_size() {
        let saved = record(&[(Mode::Train, 8.0)]);
        let mut now = record(&[(Mode::Train, 16.0)]);
        now.results[0].batch_size = 128;
        assert_eq!(ratios(&saved, &now)[0].ratio, 1.0);
        assert_eq!(differences(&saved, &now), ["batch of W1 train differs: 64 saved, 128 now"]);
    }

    #[test]
    fn what_differs_is_said() {
        let saved = record(&[(Mode::Train, 8.0)]);
        assert!(differences(&saved, &saved).is_empty());
        let mut now = saved.clone();
        now.adapter.name = "Other GPU".to_owned();
        now.adapter.driver = "some 1.3".to_owned();
        now.cooperative_matrices = Some("f16 16×16".to_owned());
        now.kernel_variants = vec!["gemm=64×64/8×8".to_owned(), "checks=on".to_owned()];
        now.gemm[0].extent = 2048;
        now.results[0].recompute = true;
        now.results[0].precision = Precision::F16;
        now.results[0].model.mask_ratio = 0.5;
        let found = differences(&saved, &now);
        let expected = [
            "adapter differs: Some GPU saved, Other GPU now",
            "driver differs: some 1.2 saved, some 1.3 now",
            "use of cooperative matrices differs: none saved, f16 16×16 now",
            "choice of kernels differs: none saved, gemm=64×64/8×8, checks=on now",
            "extent of the best matrix product in f32 differs: 4096 saved, 2048 now",
            "recomputation of W1 train differs: off saved, on now",
            "precision of W1 train differs: 32 bits saved, 16 bits now",
            "model of W1 train differs: other options saved, these options now",
        ];
        assert_eq!(found, expected);
    }
}
