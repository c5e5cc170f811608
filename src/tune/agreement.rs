//! Whether cooperative products are right on a device: the feature is experimental and its drivers are young,
//! and wrong products would only show as a model that does not learn.

use half::f16;

use super::record_product;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, KernelTarget, Precision, ProductClass, Products, Tier};
use crate::philox::Rng;
use crate::program::{Buffers, Program};

/// `[M, N, K]` with edges in all directions, K long enough for two parts.
const SIZES: [usize; 3] = [140, 132, 520];
/// Between two orders of summation, of the largest value.
const TOLERANCE: f32 = 1e-3;

/// Whether a product of `class` under `target` is what blocked products make of the same operands.
pub(super) async fn agrees(gpu: &Gpu, target: KernelTarget, class: ProductClass) -> Result<bool> {
    let blocked = KernelTarget { products: Products::default(), ..Tier::Gpu.into() };
    let wanted = run(gpu, blocked, class).await?;
    let found = match run(gpu, target, class).await {
        // The driver does not take the kernel.
        Err(Error::Device { .. }) => return Ok(false),
        other => other?,
    };
    let largest = wanted.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * largest;
    Ok(found.iter().zip(&wanted).all(is_near))
}

/// A product of random operands, in f32.
async fn run(gpu: &Gpu, target: KernelTarget, class: ProductClass) -> Result<Vec<f32>> {
    let [m, n, k] = SIZES;
    let rec = record_product(target, class, SIZES, Precision::F32);
    let program = Program::build(gpu, &rec, &Buffers::new())?;
    let mut rng = Rng::new(0, [0; 3]);
    for (label, count) in [("a", m * k), ("b", n * k)] {
        let values: Vec<f32> = (0..count).map(|_| rng.normal()).collect();
        match class.operands {
            Precision::F32 => program.write(label, &values),
            Precision::F16 => {
                let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
                program.write(label, &values);
            }
        }
    }
    program.submit();
    program.read("out").await
}
