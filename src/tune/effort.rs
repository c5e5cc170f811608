//! How much is measured, and how.

use std::time::Duration;

use super::agreement::Check;
use crate::error::Error;
use crate::gpu::Gpu;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time for compiling and measuring. The candidates that it is too short for are left out, those that are least
    /// likely to be the fastest first.
    pub budget: Duration,
    /// Every tiling and every number of parts, instead of the likely ones.
    pub all: bool,
    /// How thoroughly the fastest are checked.
    pub check: Check,
}

impl Default for Effort {
    /// What a user waits for at first use.
    fn default() -> Self {
        Self { budget: Duration::from_millis(2000), all: false, check: Check::default() }
    }
}

/// Before anything is measured.
pub(super) const WARM_UP: Duration = Duration::from_millis(200);
/// Samples of each candidate at most, in turns.
pub(super) const ROUNDS: usize = 5;
/// GFLOP/s below which only drivers in software are. Thorough checks would take them minutes.
pub(super) const SOFTWARE: f64 = 50.0;
/// A measured product takes about this long at most: of larger ones, a part is measured.
pub(super) const LONGEST: Duration = Duration::from_micros(1500);

/// The error of a device on which every candidate is wrong.
pub(super) fn nothing_right(gpu: &Gpu, what: &str) -> Error {
    Error::Device {
        problem: format!(
            "{what} comes out right on {}; update its driver, or use another device",
            gpu.adapter().name
        ),
    }
}
