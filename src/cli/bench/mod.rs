//! Measuring speed: the reference workloads ([`workload`]) run as whole steps ([`step`], [`measure`]), kernel
//! by kernel ([`profile`]), with kernels that were asked for and beside the adapter's best matrix product
//! ([`gemm`]); the preparation of batches ([`loader`]); and runs that are kept ([`record`]) and compared ([`compare`]).

pub(crate) mod against;
pub(crate) mod args;
pub(crate) mod batches;
pub mod compare;
pub mod gemm;
pub mod loader;
pub mod measure;
pub(crate) mod print;
pub mod profile;
pub mod record;
pub(crate) mod runs;
pub mod samples;
pub mod step;
pub(crate) mod variants;
pub mod workload;

use std::time::Duration;

/// First word of the streams of random numbers that benchmarks draw.
const STREAM: u32 = 0xbe9c;

/// Shorter measurements say little: clocks of a GPU rise while it works, and waiting for its answer would count.
const SAMPLE: Duration = Duration::from_millis(500);

/// How often things are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Runs before the measured ones.
    pub warmup: usize,
    /// Timed groups of runs, at least 1.
    pub samples: usize,
}
