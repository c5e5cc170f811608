//! How fast a device is: the reference workloads ([`workload`]) run as whole steps ([`step`], [`timing`]), its best
//! matrix product ([`product`]), and everything that can be found out within some minutes ([`measuring`], [`report`]), on
//! the command line and in a browser alike.

mod images;
pub mod measuring;
pub mod product;
#[cfg(feature = "native")]
pub mod profile;
pub mod record;
pub mod report;
pub mod samples;
pub mod step;
pub mod timing;
pub mod workload;

use std::time::Duration;

/// First word of the streams of random numbers that measurements draw.
pub(crate) const STREAM: u32 = 0xbe9c;

/// Shorter measurements say little: clocks of a GPU rise while it works, and waiting for its answer would count.
const SAMPLE: Duration = Duration::from_millis(500);

/// Steps between two looks at what is done: submissions run ahead of the device by at most twice as many.
const LOOK_EVERY: u32 = 32;

/// How often things are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Runs before the measured ones.
    pub warmup: usize,
    /// Timed groups of runs, at least 1.
    pub samples: usize,
}
