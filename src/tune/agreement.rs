//! Whether cooperative products are right on a device: the feature is experimental and its drivers are young,
//! and wrong products would only show as a model that does not learn.

use half::f16;

use super::record::record_product;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{KernelTarget, Precision, Processor, ProductClass, Products};
use crate::philox::Rng;
use crate::program::{Buffers, Device, Program};

/// `[M, N, K]` with edges in all directions, K long enough for two parts.
const SIZES: [usize; 3] = [140, 132, 520];
/// Between two orders of summation, of the largest value.
const TOLERANCE: f32 = 1e-3;

/// A product of random operands by blocks.
pub(super) struct Reference {
    class: ProductClass,
    values: Vec<f32>,
}

impl Reference {
    /// A product of `class`.
    pub(super) async fn new(gpu: &Gpu, class: ProductClass) -> Result<Self> {
        let blocked = KernelTarget { products: Products::default(), ..Processor::Gpu.into() };
        Ok(Self { class, values: run(gpu, blocked, class).await? })
    }

    /// Whether the kernels of `target` come to the same.
    pub(super) async fn agrees(&self, gpu: &Gpu, target: KernelTarget) -> Result<bool> {
        match run(gpu, target, self.class).await {
            Ok(values) => Ok(agree(&values, &self.values)),
            // The driver does not take the kernel.
            Err(Error::Device { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

fn agree(found: &[f32], wanted: &[f32]) -> bool {
    let largest = wanted.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    found.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
}

/// A product in f32 of operands that are always the same.
async fn run(gpu: &Gpu, target: KernelTarget, class: ProductClass) -> Result<Vec<f32>> {
    let [m, n, k] = SIZES;
    let rec = record_product(target, class, SIZES, Precision::F32);
    let program = Program::build(&Device::from(gpu.clone()), &rec, &Buffers::new())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_do_not_agree() {
        let wanted = [1.0, -40.0, 0.25, 7.0];
        assert!(agree(&[1.001, -40.01, 0.24, 7.0], &wanted));
        assert!(!agree(&wanted.map(|x| 2.0 * x), &wanted), "everything was added twice");
        assert!(!agree(&[0.0; 4], &wanted));
        assert!(!agree(&[1.0, -40.0, f32::NAN, 7.0], &wanted));
    }
}
