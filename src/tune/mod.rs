//! Choosing how matrix products are divided on a GPU by measuring, once per device and version.

mod agreement;
mod record;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use agreement::Reference;
use record::record_product;
use web_time::Instant;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{
    KernelKey, KernelTarget, Precision, ProductClass, ProductLayout, Products, Shader, Tiling,
};
use crate::program::{Buffers, Device, Program};

/// Time of one measurement; shorter products are repeated.
const SAMPLE: Duration = Duration::from_millis(5);
/// Measurements, of which the fastest counts.
const SAMPLES: usize = 3;

/// How fast each tiling is for each class of products, on one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// GFLOP/s by class, in the order of [`ProductClass::ALL`], and tiling, in that of
    /// [`Tiling::ALL`]; nothing where a tiling was not measured, or gave wrong products.
    pub gflops: [[Option<f64>; Tiling::ALL.len()]; ProductClass::ALL.len()],
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
        let target = gpu.target();
        let mut gflops = [[None; Tiling::ALL.len()]; ProductClass::ALL.len()];
        for (class, rates) in ProductClass::ALL.into_iter().zip(&mut gflops) {
            if !is_measured(target, class) {
                continue;
            }
            let reference = match target.cooperative.extent(class.operands) {
                Some(_) => Some(Reference::new(gpu, class).await?),
                None => None,
            };
            for (number, (tiling, rate)) in Tiling::ALL.into_iter().zip(rates).enumerate() {
                let target = KernelTarget { products: Products::uniform(number), ..target };
                if !target.offers(tiling, class.operands) {
                    continue;
                }
                if let (Tiling::Cooperative(_), Some(reference)) = (tiling, &reference)
                    && !reference.agrees(gpu, target).await?
                {
                    continue;
                }
                *rate = Some(rate_of(gpu, target, class, sizes(class)).await?);
            }
        }
        Ok(Self { gflops })
    }

    /// The fastest tiling of each class.
    pub fn products(&self) -> Products {
        let mut products = Products::default();
        for (class, rates) in ProductClass::ALL.into_iter().zip(&self.gflops) {
            let measured = rates.iter().enumerate().filter_map(|(i, rate)| Some((i, (*rate)?)));
            let best = measured.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(best, _)| best);
            // Blocked products do the same work in either precision.
            let single = ProductClass { operands: Precision::F32, ..class };
            products.set(class, best.unwrap_or(products.number(single)));
        }
        products
    }
}

/// Whether a class has a choice of its own: those in f16 only where there are fragments for them.
fn is_measured(target: KernelTarget, class: ProductClass) -> bool {
    class.operands == Precision::F32 || target.cooperative.f16.is_some()
}

/// What a choice of tilings is good for: this device with this driver, what is used of it, and these kernels.
pub fn key(gpu: &Gpu) -> String {
    let adapter = gpu.adapter();
    let mut hasher = DefaultHasher::new();
    let mut add_kernel = |name| {
        let (types, reduction) = Default::default();
        let key = KernelKey { shader: name, constants: Vec::new(), types, reduction };
        Shader::named(name).text(&key).hash(&mut hasher);
    };
    add_kernel("gemm");
    let cooperative = gpu.target().cooperative;
    if cooperative.any() {
        add_kernel("gemm_cooperative");
    }
    cooperative.hash(&mut hasher);
    Tiling::ALL.hash(&mut hasher);
    format!(
        "{} / {} / {} / {:016x}",
        adapter.name,
        adapter.backend,
        adapter.driver,
        hasher.finish()
    )
}

/// Sizes of a ViT-B on 16 images (196 tokens each), or on a single one.
fn typical(class: ProductClass) -> [usize; 3] {
    let [tokens, width, hidden] = [if class.large { 3136 } else { 196 }, 768, 3072];
    match class.layout {
        ProductLayout::Nt | ProductLayout::Nn => [tokens, width, width],
        ProductLayout::Tn => [if class.large { hidden } else { 192 }, width, 3136],
    }
}

/// GFLOP/s of a product.
async fn rate_of(
    gpu: &Gpu,
    target: KernelTarget,
    class: ProductClass,
    sizes: [usize; 3],
) -> Result<f64> {
    // Gradients of weights are f32 always.
    let output = if class.layout == ProductLayout::Tn { Precision::F32 } else { class.operands };
    let rec = record_product(target, class, sizes, output);
    let program = Program::build(&Device::from(gpu.clone()), &rec, &Buffers::new())?;
    #[cfg(target_family = "wasm")]
    gpu.compile(|_, _| ()).await?;
    // The first run warms up.
    time_of(&program, 1).await?;
    let once = time_of(&program, 1).await?;
    let runs = SAMPLE.as_secs_f64() / once.max(1e-9);
    let runs = (runs.ceil() as u32).clamp(1, 100);
    let mut best = f64::INFINITY;
    for _ in 0..SAMPLES {
        best = best.min(time_of(&program, runs).await?);
    }
    Ok(program.plan().flops as f64 / best / 1e9)
}

/// Seconds of one run of `runs` that follow each other.
async fn time_of(program: &Program, runs: u32) -> Result<f64> {
    let began = Instant::now();
    for _ in 0..runs {
        program.submit();
    }
    program.wait().await?;
    Ok(began.elapsed().as_secs_f64() / f64::from(runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_tiling_of_each_class_is_chosen() {
        let mut gflops = [[None; Tiling::ALL.len()]; ProductClass::ALL.len()];
        for (class, rates) in gflops.iter_mut().enumerate() {
            rates[0] = Some(1.0);
            rates[class % Tiling::ALL.len()] = Some(2.0);
        }
        // Never measured: divided as in f32.
        gflops[6] = [None; Tiling::ALL.len()];
        let products = Tuning { gflops }.products();
        for (i, class) in ProductClass::ALL.into_iter().enumerate() {
            let expected = if i == 6 { 0 } else { i % Tiling::ALL.len() };
            assert_eq!(products.tiling(class), Tiling::ALL[expected], "{class:?}");
        }
    }

    #[test]
    fn typical_sizes_are_of_their_class() {
        for class in ProductClass::ALL {
            let [m, n, _] = typical(class);
            assert_eq!(ProductClass::of(class.operands, class.layout, [m, n]), class);
        }
    }
}
