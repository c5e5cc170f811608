//! Timing single products, and what else is short.

use std::time::Duration;

use half::f16;
use web_time::Instant;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{Division, KernelTarget, Precision, ProductShape};
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program, Recorder};

use super::record::record_product;

/// Products of a program.
pub(super) const REPEATS: usize = 4;
/// Where the clock decides, a sample has so many launches in one submission, or takes so long: a submission costs as
/// much as a small product.
const LAUNCHES: usize = 52;
const LONG: Duration = Duration::from_millis(20);
/// Values that are drawn; larger operands repeat them.
const DRAWN: usize = 1 << 18;

/// Measures products on one device, all of the same operands.
pub(super) struct Sampler {
    device: Device,
    target: KernelTarget,
    operands: Buffers,
}

impl Sampler {
    /// Memory for the largest of `shapes`, full of random values: zeros would cost less power, and so flatter.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`], [`crate::Error::OutOfMemory`].
    pub fn new(gpu: &Gpu, shapes: &[ProductShape]) -> Result<Self> {
        let device = Device::from(gpu.clone());
        let mut operands = Buffers::new();
        let precision = |shape: &ProductShape| shape.operands;
        let values = |shape: &ProductShape| {
            let [m, n, k] = shape.sizes.map(|size| size as usize);
            [m * k, n * k, m * n]
        };
        let halves = shapes.iter().map(precision).max().unwrap_or_default() == Precision::F16;
        for (i, label) in ["a", "b", "out"].into_iter().enumerate() {
            // Half precision leaves half of it.
            let bytes = shapes.iter().map(|shape| 4 * values(shape)[i] as u64).max().unwrap_or(4);
            let buffer = device.buffer(label, bytes)?;
            let mut rng = Rng::new(0, [i as u32, 0, 0]);
            let drawn: Vec<f32> = (0..DRAWN).map(|_| rng.normal()).collect();
            let block: Vec<u8> = if halves {
                let drawn: Vec<f16> = drawn.iter().map(|&x| f16::from_f32(x)).collect();
                bytemuck::cast_slice(&drawn).to_vec()
            } else {
                bytemuck::cast_slice(&drawn).to_vec()
            };
            for first in (0..bytes).step_by(block.len()) {
                let length = block.len().min((bytes - first) as usize);
                device.write(&buffer, first, &block[..length]);
            }
            operands.insert(label.to_owned(), buffer.into());
        }
        Ok(Self { device, target: gpu.target(), operands })
    }

    /// What products are recorded for.
    pub fn target(&self) -> &KernelTarget {
        &self.target
    }

    /// Whether the device is lost.
    pub fn is_lost(&self) -> bool {
        self.device.is_lost()
    }

    /// Records a candidate, and has its kernels compiled with the next ones.
    pub fn declare(&self, shape: ProductShape, division: Division) -> Recorder {
        let rec = record_product(&self.target, shape, division, REPEATS);
        self.device.declare(&rec);
        rec
    }

    /// Compiles what was declared, while the page does other work.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    #[cfg(target_family = "wasm")]
    pub async fn compile(&self) -> Result<()> {
        self.device.compile(|_, _| ()).await
    }

    /// A candidate that can be measured.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the driver does not take its kernels.
    pub fn build(&self, rec: &Recorder) -> Result<Program> {
        Program::build(&self.device, rec, &self.operands)
    }
}

/// Keeps the device busy, so that its clocks are those of work.
///
/// # Errors
/// [`crate::Error::Device`] if the device failed.
pub(super) async fn warm_up(program: &Program, time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        program.submit();
        program.wait().await?;
    }
    Ok(())
}

/// Nanoseconds of one of the `repeats` that a program does.
///
/// # Errors
/// [`crate::Error::Device`] if the device failed.
pub(super) async fn sample(program: &Program, repeats: usize) -> Result<f64> {
    // Browsers round timestamps to 100 µs.
    if cfg!(not(target_family = "wasm"))
        && let Some(times) = program.time().await?
    {
        // The launches of each repeat follow each other.
        let launches = times.len() / repeats;
        let mut samples: Vec<f64> = times
            .chunks_exact(launches)
            .map(|repeat| repeat.iter().map(|time| time.nanoseconds).sum())
            .collect();
        return Ok(median(&mut samples));
    }
    // What others submitted ends first, and clocks rise.
    program.wait().await?;
    let began = Instant::now();
    program.submit();
    program.wait().await?;
    let long = (LONG.as_secs_f64() / began.elapsed().as_secs_f64()).ceil() as usize;
    let runs = long.clamp(1, LAUNCHES.div_ceil(program.dispatches()));
    let began = Instant::now();
    Program::submit_all(&vec![(program, false); runs]);
    program.wait().await?;
    Ok(began.elapsed().as_nanos() as f64 / (runs * repeats) as f64)
}

/// The value in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
