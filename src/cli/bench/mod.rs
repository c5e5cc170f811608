//! Measuring speed: the reference workloads ([`workload`]) run as whole steps ([`step`], [`measure`]), kernel
//! by kernel ([`profile`]) and beside the adapter's best matrix product ([`gemm`]); the preparation of
//! batches ([`loader`]); and runs that are kept ([`record`]) and compared ([`compare`]).

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
pub mod workload;

/// First word of the streams of random numbers that benchmarks draw.
const STREAM: u32 = 0xbe9c;

/// How often things are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Runs before the measured ones.
    pub warmup: usize,
    /// Timed groups of runs, at least 1.
    pub samples: usize,
}
