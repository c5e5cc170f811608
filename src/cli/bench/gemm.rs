//! The adapter's best matrix product, the measure for all others.

use std::time::{Duration, Instant};

use half::f16;
use pollster::block_on;

use super::record::Gemm;
use super::{SAMPLE, STREAM};
use crate::error::Result;
use crate::kernels::{KernelTarget, Precision};
use crate::ops::linear;
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program, Recorder};

/// Extents of the square matrices that are multiplied: the largest whose product takes no longer than [`LONGEST`].
const EXTENTS: [usize; 4] = [512, 1024, 2048, 4096];
/// Large enough for good figures, and no submission that a system would end.
const LONGEST: Duration = Duration::from_millis(100);
/// Runs of which the fastest counts, at least; more until they took [`SAMPLE`].
const RUNS: usize = 3;

/// The adapter's best product of square matrices in `precision`: a linear layer's forward pass (`A·Bᵀ`), its input
/// gradient (`A·B`) or its weight gradient (`Aᵀ·B`), whichever is fastest by the adapter's timestamps; without
/// timestamps, of all three by the clock.
///
/// # Errors
/// [`crate::Error::Config`] if the adapter has not the precision; [`crate::Error::Device`] if it failed.
pub fn best_product(device: &Device, precision: Precision) -> Result<Gemm> {
    device.check_precision(precision)?;
    let extent = largest_extent(|extent| {
        let products = SquareProducts::new(device, precision, extent, false)?;
        // The first run warms up.
        products.run()?;
        Ok(products.run()? / PRODUCTS)
    })?;
    let products = SquareProducts::new(device, precision, extent, true)?;
    let (began, mut runs, mut gflops) = (Instant::now(), 0, 0.0_f64);
    while runs < RUNS || began.elapsed() < SAMPLE {
        gflops = gflops.max(products.gflops()?);
        runs += 1;
    }
    Ok(Gemm { precision, extent, gflops })
}

/// The largest extent whose product takes no longer than [`LONGEST`], as far as the `time` of the next smaller one
/// tells.
fn largest_extent(mut time: impl FnMut(usize) -> Result<Duration>) -> Result<usize> {
    let [smallest, larger @ ..] = EXTENTS;
    let mut chosen = smallest;
    for extent in larger {
        let growth = (extent / chosen).pow(3) as u32;
        if time(chosen)? * growth > LONGEST {
            break;
        }
        chosen = extent;
    }
    Ok(chosen)
}

/// Products of a linear layer.
const PRODUCTS: u32 = 3;

/// Those of a linear layer with square matrices.
struct SquareProducts {
    program: Program,
}

impl SquareProducts {
    /// Builds them; where `tuned`, divided as suits the device best, which may have to be measured first.
    fn new(device: &Device, precision: Precision, extent: usize, tuned: bool) -> Result<Self> {
        let record = |target: KernelTarget| record(target, precision, extent);
        let program = match tuned {
            true => Program::record(device, &Buffers::new(), record)?,
            false => Program::build(device, &record(device.target()), &Buffers::new())?,
        };
        let mut rng = Rng::new(0, [STREAM, 1, 0]);
        let deviation = 1.0 / (extent as f32).sqrt();
        let values: Vec<f32> = (0..extent * extent).map(|_| deviation * rng.normal()).collect();
        for label in ["x", "weight", "dy"] {
            match precision {
                Precision::F32 => program.write(label, &values),
                Precision::F16 => {
                    let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
                    program.write(label, &halves);
                }
            }
        }
        Ok(Self { program })
    }

    /// Runs them; returns how long they took.
    fn run(&self) -> Result<Duration> {
        let began = Instant::now();
        self.program.submit();
        block_on(self.program.wait())?;
        Ok(began.elapsed())
    }

    /// GFLOP per second of the fastest.
    fn gflops(&self) -> Result<f64> {
        match block_on(self.program.time())? {
            Some(times) => Ok(times.iter().map(|time| time.gflops()).fold(0.0, f64::max)),
            None => Ok(self.program.plan().flops as f64 / self.run()?.as_nanos() as f64),
        }
    }
}

fn record(target: KernelTarget, precision: Precision, extent: usize) -> Recorder {
    let shape = [extent; 2];
    let mut rec = Recorder::new(target, true);
    rec.set_precision(precision);
    let [x, weight, dy] =
        ["x", "weight", "dy"].map(|label| rec.external_of(precision, label, shape));
    // As in training: gradients of parameters are in f32 always.
    let d_weight = rec.external("d weight", shape);
    rec.require_grad(x);
    rec.add_param("weight", weight, Some(d_weight));
    let y = linear(&mut rec, x, weight, None);
    rec.keep(y, "y");
    rec.set_grad(y, dy);
    rec.backward();
    rec
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extent that is chosen on a device of so many GFLOP per second.
    fn chosen_at(gflops: f64) -> usize {
        largest_extent(|extent| {
            Ok(Duration::from_secs_f64(2.0 * (extent as f64).powi(3) / gflops / 1e9))
        })
        .unwrap()
    }

    #[test]
    fn extents_suit_the_device() {
        let chosen = [1.0, 20.0, 30.0, 160.0, 180.0, 1_300.0, 1_400.0, 900_000.0].map(chosen_at);
        assert_eq!(chosen, [512, 512, 1024, 1024, 2048, 2048, 4096, 4096]);
    }
}
