//! The adapter's best matrix product, the measure for all others.

use std::time::Duration;

use half::f16;
use web_time::Instant;

use super::record::Gemm;
use super::{SAMPLE, STREAM};
use crate::error::Result;
use crate::kernels::{KernelTarget, Precision, ProductLayout, ProductShape};
use crate::ops::linear;
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program, Recorder};

/// Extents of the square matrices that are multiplied: the largest whose product takes no longer than [`LONGEST`].
const EXTENTS: [usize; 5] = [256, 512, 1024, 2048, 4096];
/// Large enough for good figures, and no submission that a system would end.
const LONGEST: Duration = Duration::from_millis(100);
/// Runs of which the fastest counts, at least; more until they took [`SAMPLE`].
const RUNS: usize = 3;
/// Runs in one submission where the clock decides: waiting for the answer takes as long as a small product.
const QUEUED: usize = 4;

/// The extent of the square matrices that suit a device for [`best_product`].
///
/// # Errors
/// [`crate::Error::Config`] if the adapter has not the precision; [`crate::Error::Device`] if it failed.
pub async fn largest_extent(device: &Device, precision: Precision) -> Result<usize> {
    device.check_precision(precision)?;
    largest(async |extent| {
        let products = SquareProducts::new(device, precision, extent, false).await?;
        // The first run warms up.
        products.run(1).await?;
        Ok(products.run(1).await? / PRODUCTS as u32)
    })
    .await
}

/// The largest extent whose product takes no longer than [`LONGEST`], as far as the `time` of the next smaller one
/// tells.
async fn largest(mut time: impl AsyncFnMut(usize) -> Result<Duration>) -> Result<usize> {
    let [smallest, larger @ ..] = EXTENTS;
    let mut chosen = smallest;
    for extent in larger {
        let growth = (extent / chosen).pow(3) as u32;
        if time(chosen).await? * growth > LONGEST {
            break;
        }
        chosen = extent;
    }
    Ok(chosen)
}

/// The products that [`best_product`] is the fastest of.
pub fn squares(precision: Precision, extent: usize) -> [ProductShape; PRODUCTS] {
    [ProductLayout::Nt, ProductLayout::Nn, ProductLayout::Tn]
        .map(|layout| ProductShape::new(precision, layout, [extent; 3]))
}

/// The adapter's best product of square matrices of `extent` in `precision`: a linear layer's forward pass (`A·Bᵀ`), its
/// input gradient (`A·B`) or its weight gradient (`Aᵀ·B`), whichever is fastest by the adapter's timestamps; without
/// timestamps, of all three by the clock.
///
/// # Errors
/// [`crate::Error::Config`] if the adapter has not the precision; [`crate::Error::Device`] if it failed.
pub async fn best_product(device: &Device, precision: Precision, extent: usize) -> Result<Gemm> {
    device.check_precision(precision)?;
    let products = SquareProducts::new(device, precision, extent, true).await?;
    let (began, mut runs, mut gflops) = (Instant::now(), 0, 0.0_f64);
    while runs < RUNS || began.elapsed() < SAMPLE {
        gflops = gflops.max(products.gflops().await?);
        runs += 1;
    }
    Ok(Gemm { precision, extent, gflops })
}

/// Products of a linear layer.
pub const PRODUCTS: usize = 3;

/// Those of a linear layer with square matrices.
struct SquareProducts {
    program: Program,
}

impl SquareProducts {
    /// Builds them; where `tuned`, divided as suits the device best, which may have to be measured first.
    async fn new(
        device: &Device,
        precision: Precision,
        extent: usize,
        tuned: bool,
    ) -> Result<Self> {
        let record = |target: KernelTarget| record(target, precision, extent);
        let program = match tuned {
            true => Program::record(device, &Buffers::new(), record)?,
            false => Program::build(device, &record(device.target()), &Buffers::new())?,
        };
        #[cfg(target_family = "wasm")]
        device.compile(|_, _| ()).await?;
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

    /// Runs them so many `times`; returns how long that took.
    async fn run(&self, times: usize) -> Result<Duration> {
        let began = Instant::now();
        Program::submit_all(&vec![(&self.program, true); times]);
        self.program.wait().await?;
        Ok(began.elapsed())
    }

    /// GFLOP per second of the fastest.
    async fn gflops(&self) -> Result<f64> {
        // Browsers round timestamps to 100 µs.
        if cfg!(not(target_family = "wasm"))
            && let Some(times) = self.program.time().await?
        {
            return Ok(times.iter().map(|time| time.gflops()).fold(0.0, f64::max));
        }
        let flops = QUEUED as u64 * self.program.plan().flops;
        Ok(flops as f64 / self.run(QUEUED).await?.as_nanos() as f64)
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
    use pollster::block_on;

    use super::*;

    /// The extent that is chosen on a device of so many GFLOP per second.
    fn chosen_at(gflops: f64) -> usize {
        let time = async |extent: usize| {
            Ok(Duration::from_secs_f64(2.0 * (extent as f64).powi(3) / gflops / 1e9))
        };
        block_on(largest(time)).unwrap()
    }

    #[test]
    fn extents_suit_the_device() {
        let chosen =
            [1.0, 2.6, 20.0, 30.0, 160.0, 180.0, 1_300.0, 1_400.0, 900_000.0].map(chosen_at);
        assert_eq!(chosen, [256, 256, 512, 1024, 1024, 2048, 2048, 4096, 4096]);
    }
}
