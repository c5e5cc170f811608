//! Choosing the tiles of matrix products for a GPU by measuring them, once per device and version.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use web_time::Instant;

use crate::error::Result;
use crate::gpu::shaders::Shader;
use crate::gpu::{Blocking, Gpu, KernelTarget, ProductClass, ProductLayout, Products, Tier, Types};
use crate::ops::product;
use crate::program::{Buffers, Program, Recorder};

/// Time of one measurement; shorter products are repeated.
const SAMPLE: Duration = Duration::from_millis(5);
/// Measurements, of which the fastest counts.
const SAMPLES: usize = 3;

/// How fast each blocking is for each class of products, on one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// GFLOP/s by class, in the order of [`ProductClass::ALL`], and blocking, in that of
    /// [`Blocking::ALL`].
    pub gflops: [[f64; Blocking::ALL.len()]; ProductClass::ALL.len()],
}

impl Tuning {
    /// Measures products of the sizes that a ViT-B has.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn measure(gpu: &Gpu) -> Result<Self> {
        Self::measure_sizes(gpu, typical).await
    }

    /// [`Self::measure`] with other `[M, N, K]` for each class.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn measure_sizes(
        gpu: &Gpu,
        sizes: impl Fn(ProductClass) -> [usize; 3],
    ) -> Result<Self> {
        let mut gflops = [[0.0; Blocking::ALL.len()]; ProductClass::ALL.len()];
        for (class, rates) in ProductClass::ALL.into_iter().zip(&mut gflops) {
            for (blocking, rate) in rates.iter_mut().enumerate() {
                let products = Products::uniform(blocking);
                *rate = rate_of(gpu, products, class.layout, sizes(class)).await?;
            }
        }
        Ok(Self { gflops })
    }

    /// The fastest blocking of each class.
    pub fn products(&self) -> Products {
        let mut products = Products::default();
        for (class, rates) in ProductClass::ALL.into_iter().zip(&self.gflops) {
            let best = (0..rates.len()).max_by(|&a, &b| rates[a].total_cmp(&rates[b]));
            products.set(class, best.expect("a blocking"));
        }
        products
    }
}

/// What a choice of tiles is good for: this device with this driver, and these kernels.
pub fn key(gpu: &Gpu) -> String {
    let adapter = gpu.adapter();
    let mut hasher = DefaultHasher::new();
    Shader::named("gemm_blocked").text(Types::default(), &[]).hash(&mut hasher);
    Blocking::ALL.hash(&mut hasher);
    format!(
        "{} / {} / {} / {:016x}",
        adapter.name,
        adapter.backend,
        adapter.driver,
        hasher.finish()
    )
}

/// Whether the device's kernels have tiles to choose.
pub fn is_tunable(gpu: &Gpu) -> bool {
    gpu.tier() == Tier::Gpu
}

/// Sizes of a ViT-B on 16 images (196 tokens each), or on a single one.
fn typical(class: ProductClass) -> [usize; 3] {
    let [tokens, width, hidden] = [if class.large { 3136 } else { 196 }, 768, 3072];
    match class.layout {
        ProductLayout::Nt | ProductLayout::Nn => [tokens, width, width],
        ProductLayout::Tn => [if class.large { hidden } else { 192 }, width, 3136],
    }
}

/// GFLOP/s of a product, its final sum included where workgroups share the sum over K.
async fn rate_of(
    gpu: &Gpu,
    products: Products,
    layout: ProductLayout,
    sizes @ [m, n, k]: [usize; 3],
) -> Result<f64> {
    let mut rec = Recorder::new(KernelTarget { products, ..Tier::Gpu.into() }, false);
    let [a, b, out] = [("a", m * k), ("b", n * k), ("out", m * n)]
        .map(|(label, count)| rec.external(label, [count]));
    product(&mut rec, layout, sizes, [a, b, out]);
    let program = Program::build(gpu, &rec, &Buffers::new())?;
    // The first run compiles.
    time_of(gpu, &program, 1).await?;
    let once = time_of(gpu, &program, 1).await?;
    let runs = SAMPLE.as_secs_f64() / once.max(1e-9);
    let runs = (runs.ceil() as u32).clamp(1, 100);
    let mut best = f64::INFINITY;
    for _ in 0..SAMPLES {
        best = best.min(time_of(gpu, &program, runs).await?);
    }
    Ok(program.plan().flops as f64 / best / 1e9)
}

/// Seconds of one run of `runs` that follow each other.
async fn time_of(gpu: &Gpu, program: &Program, runs: u32) -> Result<f64> {
    let began = Instant::now();
    for _ in 0..runs {
        program.submit();
    }
    gpu.read(program.buffer("out"), 0, 4).await?;
    Ok(began.elapsed().as_secs_f64() / f64::from(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_blocking_of_each_class_is_chosen() {
        let mut gflops = [[1.0; Blocking::ALL.len()]; ProductClass::ALL.len()];
        for (class, rates) in gflops.iter_mut().enumerate() {
            rates[class] = 2.0;
        }
        let products = Tuning { gflops }.products();
        for (i, class) in ProductClass::ALL.into_iter().enumerate() {
            assert_eq!(products.blocking(class), Blocking::ALL[i]);
        }
    }

    #[test]
    fn typical_sizes_are_of_their_class() {
        for class in ProductClass::ALL {
            let [m, n, _] = typical(class);
            assert_eq!(ProductClass::of(class.layout, [m, n]), class);
        }
    }
}
