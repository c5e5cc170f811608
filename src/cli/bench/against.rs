//! `--compare`: a saved run, printed beside the present one and judged.

use super::compare::{Ratio, differences, ratios};
use crate::error::{Error, Result};
use crate::measure::record::{BenchRecord, Gemm};

/// What a run is held against.
pub(crate) struct Against {
    pub saved: BenchRecord,
    /// Ratio below which the run fails.
    pub fail_below: Option<f64>,
}

impl Against {
    /// Ratios of `now`; warns of whatever else differs.
    pub fn ratios(&self, now: &BenchRecord) -> Vec<Ratio> {
        for difference in differences(&self.saved, now) {
            complain!("warning: {difference}");
        }
        ratios(&self.saved, now)
    }

    /// Prints the table of ratios.
    pub fn print(&self, now: &BenchRecord) {
        say!("");
        let ratios = self.ratios(now);
        say!("compared with webmae {} on {}", self.saved.webmae, self.saved.adapter.name);
        say!("{:<14}{:>20}{:>20}{:>16}", "workload", "saved ms/step", "ms/step", "ratio");
        for ratio in ratios {
            say!(
                "{:<14}{:>20}{:>20}{:>16}",
                format!("{} {}", ratio.workload, ratio.mode.name()),
                format!("{:.2} ± {:.2}", ratio.saved_ms, ratio.saved_spread),
                format!("{:.2} ± {:.2}", ratio.ms, ratio.spread),
                format!("{:.2} ± {:.2}", ratio.ratio, ratio.ratio_spread),
            );
        }
        for gemm in &now.gemm {
            let Some(saved) = self.saved.best_product(gemm.precision) else { continue };
            let rate = |gemm: &Gemm| format!("{:.1} GFLOP/s", gemm.gflops);
            say!(
                "{:<14}{:>20}{:>20}{:>16}",
                format!("product {}", gemm.precision.name()),
                rate(saved),
                rate(gemm),
                format!("{:.2}", gemm.gflops / saved.gflops),
            );
        }
        say!("ratios are speeds per image: above 1 is faster than the saved run");
    }

    /// Refuses a run that is too slow.
    ///
    /// # Errors
    /// [`Error::Slower`] names every ratio below the limit.
    pub fn judge(&self, now: &BenchRecord) -> Result<()> {
        let Some(limit) = self.fail_below else { return Ok(()) };
        let slow: Vec<String> = ratios(&self.saved, now)
            .iter()
            .filter(|ratio| !(ratio.ratio >= limit))
            .map(|r| {
                let (mode, spread) = (r.mode.name(), r.ratio_spread);
                format!("{} {mode} {:.3} ± {spread:.3}", r.workload, r.ratio)
            })
            .collect();
        if slow.is_empty() {
            return Ok(());
        }
        let problem = format!("{} (--fail-below {limit})", slow.join(", "));
        Err(Error::Slower { problem })
    }
}
