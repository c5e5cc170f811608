//! The adapter's best matrix product, the measure for all others.

use std::time::Instant;

use pollster::block_on;

use super::STREAM;
use crate::error::Result;
use crate::ops::linear;
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program, Recorder};

/// Extent of the square matrices that are multiplied.
pub const EXTENT: usize = 1024;

/// The adapter's best GFLOP per second in one matrix product of [`EXTENT`]² operands: a linear
/// layer's forward pass (`A·Bᵀ`), its input gradient (`A·B`) or its weight gradient (`Aᵀ·B`),
/// whichever is fastest by the adapter's timestamps; without timestamps, of all three by the clock.
///
/// # Errors
/// [`crate::Error::Device`] if the device failed.
pub fn best_gflops(device: &Device) -> Result<f64> {
    /// Runs of which the fastest counts.
    const RUNS: usize = 7;
    let shape = [EXTENT; 2];
    let mut rec = Recorder::new(device.target(), true);
    let [x, weight, d_weight, dy] =
        ["x", "weight", "d weight", "dy"].map(|label| rec.external(label, shape));
    rec.require_grad(x);
    rec.add_param("weight", weight, Some(d_weight));
    let y = linear(&mut rec, x, weight, None);
    rec.keep(y, "y");
    rec.set_grad(y, dy);
    rec.backward();
    let program = Program::build(device, &rec, &Buffers::new())?;
    let mut rng = Rng::new(0, [STREAM, 1, 0]);
    let deviation = 1.0 / (EXTENT as f32).sqrt();
    for label in ["x", "weight", "dy"] {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| deviation * rng.normal()).collect();
        program.write(label, &values);
    }
    let mut best: f64 = 0.0;
    for _ in 0..RUNS {
        let since = Instant::now();
        let rate = match block_on(program.time())? {
            Some(times) => times.iter().map(|time| time.gflops()).fold(0.0, f64::max),
            None => {
                program.submit();
                block_on(device.read(program.buffer("y"), 0, 4))?;
                program.plan().flops as f64 / since.elapsed().as_nanos() as f64
            }
        };
        best = best.max(rate);
    }
    Ok(best)
}
