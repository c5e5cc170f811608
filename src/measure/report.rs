//! What is found out about a machine.

use serde::Serialize;

use super::record::BenchRecord;
use crate::gpu::AdapterSummary;
use crate::tune::TuningRecord;
use crate::verify::Verdict;

/// Everything that was found out, as `report.json` has it, and what the page hands out but for what only the browser
/// knows.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether it came to its end.
    pub finished: bool,
    /// Where it ran.
    #[cfg(feature = "native")]
    pub system: System,
    /// The GPU; nothing where the processor was measured.
    pub adapter: Option<AdapterSummary>,
    /// Whether the kernels are right.
    pub verified: Option<Verified>,
    /// How products are divided.
    pub products: Option<TuningRecord>,
    /// Speeds.
    pub bench: BenchRecord,
    /// What was not done, and why.
    pub left_out: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The machine around the device.
#[cfg(feature = "native")]
#[derive(Debug, Serialize)]
pub struct System {
    /// E.g. `linux`.
    pub os: &'static str,
    /// E.g. `x86_64`.
    pub architecture: &'static str,
    /// Threads that run at once.
    pub threads: usize,
}

#[cfg(feature = "native")]
impl System {
    /// This one.
    pub fn here() -> Self {
        Self {
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// How the GPU's kernels compare with their twins.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Cases that were run.
    pub cases: usize,
    /// Variants of kernels that agree.
    pub agree: usize,
    /// Those that do not.
    pub wrong: Vec<Verdict>,
}
