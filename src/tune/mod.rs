//! Choosing how matrix products are divided and attention is computed on a GPU, by measuring.
//!
//! Candidates are compiled together, then measured in turns on random operands with the device warm, and the middle
//! times count. The fastest is taken if its products are right (see `agreement`), else the next.

mod agreement;
mod attention;
mod candidates;
mod effort;
mod record;
mod sampler;
#[cfg(feature = "check")]
mod words;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

pub use agreement::Check;
use agreement::agrees;
#[cfg(feature = "native")]
pub(crate) use attention::record_attention;
pub use attention::{AttentionTuning, MeasuredAttention};
#[cfg(feature = "native")]
pub(crate) use candidates::{divisions, tilings};
pub use effort::Effort;
use effort::{LONGEST, ROUNDS, SOFTWARE, WARM_UP, nothing_right};
pub use record::Ending;
#[cfg(feature = "native")]
pub(crate) use record::record_product;
use sampler::{REPEATS, Sampler, median, sample, warm_up};
use web_time::Instant;
#[cfg(feature = "check")]
pub use words::{
    AttentionRecord, DivisionRecord, FormRecord, ProductRecord, TuningRecord, layout_name,
    refused_name, refused_names, tile_name,
};

use crate::error::{Error, Result};
use crate::gpu::{AdapterSummary, Gpu};
use crate::kernels::{
    AttentionForm, Division, KernelKey, Precision, ProductLayout, ProductShape, Products,
    ProgramShapes, Shader, Tiling,
};
use crate::program::{Program, Recorder};

/// What is worth measuring: attention, and products that are large enough for it to matter how they are divided, if
/// they were not measured yet.
pub fn unknown(shapes: &ProgramShapes, known: &Products) -> ProgramShapes {
    /// Floating-point operations.
    const SMALLEST: u64 = 10_000_000;
    let is_unknown =
        |shape: &&ProductShape| shape.flops() >= SMALLEST && known.chosen(shape).is_none();
    let attentions = shapes.attentions.iter();
    ProgramShapes {
        products: shapes.products.iter().filter(is_unknown).copied().collect(),
        attentions: attentions
            .filter(|shape| known.chosen_attention(shape).is_none())
            .copied()
            .collect(),
    }
}

/// Share of the budget after which no further tiling is compiled.
const COMPILING: f64 = 0.4;
/// Candidates that took longer than the fastest by this factor at first are not measured again.
const HOPELESS: f64 = 1.5;
/// One way of dividing a product, and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Tile and parts.
    pub division: Division,
    /// Floating-point operations, 10⁹ a second; the final sum of parts takes its time, too.
    pub gflops: f64,
}

/// How fast each division of the products of one shape is.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeTuning {
    /// The product.
    pub shape: ProductShape,
    /// `[M, N, K]` of the part of it that was timed.
    pub timed: [u32; 3],
    /// The fastest first.
    pub measured: Vec<Measured>,
    /// The fastest whose products are right.
    pub chosen: Division,
}

/// What was measured on one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tuning {
    /// By shape.
    pub shapes: Vec<ShapeTuning>,
    /// The tilings that gave wrong products, by their place in [`Tiling::ALL`].
    pub refused: BTreeSet<usize>,
    /// Attention, by shape.
    pub attentions: Vec<AttentionTuning>,
    /// The forms in which attention came out wrong.
    pub refused_attention: BTreeSet<AttentionForm>,
}

impl Tuning {
    /// Measures products and attention of `shapes`. Awaits `turn` before it uses the device, with how much of the work is done and
    /// how much there is: others may use it meanwhile, but not while something is measured.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed, or gives no right product at all.
    pub async fn measure(
        gpu: &Gpu,
        shapes: &ProgramShapes,
        effort: Effort,
        turn: &mut impl AsyncFnMut(usize, usize),
    ) -> Result<Self> {
        let mut tuning = Self::default();
        // Operands of either precision are kept apart.
        for precision in [Precision::F32, Precision::F16] {
            let shapes: Vec<ProductShape> = shapes
                .products
                .iter()
                .copied()
                .filter(|shape| shape.operands == precision)
                .collect();
            if !shapes.is_empty() {
                let sampler = Sampler::new(gpu, &shapes)?;
                turn(0, 1).await;
                let rate = rate_of_middling(&sampler, &shapes).await?;
                let measured = measure_in_turns(&sampler, &shapes, rate, effort, turn).await?;
                let check = if rate < SOFTWARE { Check::small() } else { effort.check };
                tuning.choose(gpu, measured, check, turn).await?;
            }
        }
        (tuning.attentions, tuning.refused_attention) =
            attention::tune(gpu, &shapes.attentions, effort, turn).await?;
        Ok(tuning)
    }

    /// Takes for every shape the fastest division whose products are right.
    async fn choose(
        &mut self,
        gpu: &Gpu,
        measured: Vec<MeasuredShape>,
        check: Check,
        turn: &mut impl AsyncFnMut(usize, usize),
    ) -> Result<()> {
        let mut is_right = BTreeMap::new();
        let all = measured.len();
        for (done, MeasuredShape { shape, timed, measured }) in measured.into_iter().enumerate() {
            turn(done, all).await;
            let mut chosen = None;
            for candidate in &measured {
                let tiling = candidate.division.tiling;
                let key = (tiling, shape.layout);
                if let Entry::Vacant(entry) = is_right.entry(key) {
                    entry.insert(agrees(gpu, tiling, shape.operands, shape.layout, check).await?);
                }
                if is_right[&key] {
                    chosen = Some(candidate.division);
                    break;
                }
                self.refused.insert(tiling);
            }
            let what = || format!("no product of {:?}", shape.sizes);
            let chosen = chosen.ok_or_else(|| nothing_right(gpu, &what()))?;
            self.shapes.push(ShapeTuning { shape, timed, measured, chosen });
        }
        Ok(())
    }

    /// Takes in what was measured besides.
    pub fn add(&mut self, other: Self) {
        self.shapes.extend(other.shapes);
        self.refused.extend(other.refused);
        self.attentions.extend(other.attentions);
        self.refused_attention.extend(other.refused_attention);
    }

    /// Adds the choices to what is known of a device.
    pub fn add_to(&self, products: &mut Products) {
        for ShapeTuning { shape, chosen, .. } in &self.shapes {
            products.choose(*shape, *chosen);
        }
        for &tiling in &self.refused {
            products.refuse(tiling);
        }
        for AttentionTuning { shape, chosen, .. } in &self.attentions {
            products.choose_attention(*shape, *chosen);
        }
        for &form in &self.refused_attention {
            products.refuse_attention(form);
        }
    }
}

/// What was measured of one shape.
struct MeasuredShape {
    shape: ProductShape,
    /// Sizes of its part.
    timed: [u32; 3],
    /// The fastest first.
    measured: Vec<Measured>,
}

/// A division of a shape that is being measured.
struct Candidate {
    /// Place among the shapes.
    shape: usize,
    division: Division,
    program: Program,
    /// Nanoseconds.
    samples: Vec<f64>,
}

/// The candidates of each shape, the fastest first.
async fn measure_in_turns(
    sampler: &Sampler,
    shapes: &[ProductShape],
    rate: f64,
    effort: Effort,
    turn: &mut impl AsyncFnMut(usize, usize),
) -> Result<Vec<MeasuredShape>> {
    let began = Instant::now();
    let target = sampler.target();
    let parts_of: Vec<ProductShape> = shapes.iter().map(|&shape| shortened(shape, rate)).collect();

    let mut candidates: Vec<Candidate> = Vec::new();
    for tiling in candidates::tilings(target, &parts_of) {
        if !candidates.is_empty() && began.elapsed() > effort.budget.mul_f64(COMPILING) {
            break;
        }
        let mut recorded: Vec<(usize, Division, Recorder)> = Vec::new();
        for (i, (whole, shape)) in shapes.iter().zip(&parts_of).enumerate() {
            if target.offers(tiling, whole) && target.offers(tiling, shape) {
                for division in candidates::divisions(target, shape, tiling, effort.all) {
                    recorded.push((i, division, sampler.declare(*shape, division)));
                }
            }
        }
        #[cfg(target_family = "wasm")]
        sampler.compile().await?;
        for (shape, division, rec) in recorded {
            match sampler.build(&rec) {
                Ok(program) => {
                    candidates.push(Candidate { shape, division, program, samples: Vec::new() });
                }
                // The driver does not take the kernel.
                Err(Error::Device { .. }) if !sampler.is_lost() => {}
                Err(error) => return Err(error),
            }
        }
    }
    if let Some(first) = candidates.first() {
        turn(0, 1).await;
        warm_up(&first.program, WARM_UP).await?;
    }
    let all = candidates.len() * ROUNDS;
    for round in 0..ROUNDS {
        for i in 0..candidates.len() {
            let is_out =
                round > 0 && (began.elapsed() > effort.budget || is_hopeless(&candidates, i));
            if !is_out {
                turn(round * candidates.len() + i, all).await;
                let sample = sample(&candidates[i].program, REPEATS).await?;
                candidates[i].samples.push(sample);
            }
        }
    }
    turn(all, all).await;
    let nothing = |(&shape, part): (&ProductShape, &ProductShape)| MeasuredShape {
        shape,
        timed: part.sizes,
        measured: Vec::new(),
    };
    let mut found: Vec<MeasuredShape> = shapes.iter().zip(&parts_of).map(nothing).collect();
    for Candidate { shape, division, mut samples, .. } in candidates {
        let gflops = parts_of[shape].flops() as f64 / median(&mut samples).max(1.0);
        found[shape].measured.push(Measured { division, gflops });
    }
    for MeasuredShape { measured, .. } in &mut found {
        measured.sort_by(|a, b| b.gflops.total_cmp(&a.gflops));
    }
    Ok(found)
}

/// Whether a candidate was much slower at first than another of its shape.
fn is_hopeless(candidates: &[Candidate], i: usize) -> bool {
    let own = &candidates[i];
    let others = candidates.iter().filter(|other| other.shape == own.shape);
    let fastest = others.map(|other| other.samples[0]).fold(f64::INFINITY, f64::min);
    own.samples[0] > HOPELESS * fastest
}

/// FLOPs a nanosecond of the middling tiling, in a product that takes about as long as one is measured.
async fn rate_of_middling(sampler: &Sampler, shapes: &[ProductShape]) -> Result<f64> {
    /// The slowest device that is reckoned with.
    const SLOW: f64 = 10.0;
    let division = Division { tiling: Tiling::MIDDLING, parts: 1 };
    let largest = shapes.iter().max_by_key(|shape| shape.flops()).expect("a shape");
    let mut rate = SLOW;
    // What is small for the device says too little of it.
    for _ in 0..3 {
        let shape = shortened(*largest, rate);
        let rec = sampler.declare(shape, division);
        #[cfg(target_family = "wasm")]
        sampler.compile().await?;
        let program = sampler.build(&rec)?;
        sample(&program, REPEATS).await?;
        rate = shape.flops() as f64 / sample(&program, REPEATS).await?.max(1.0);
        if shape == *largest {
            break;
        }
    }
    Ok(rate)
}

/// As much of a product as takes [`LONGEST`] at this rate in FLOPs a nanosecond: fewer rows, or a shorter sum over the
/// rows.
fn shortened(shape: ProductShape, rate: f64) -> ProductShape {
    /// Of whole tiles and steps, and enough of them that edges and waves do not decide.
    const STEP: u32 = 512;
    let share = rate * LONGEST.as_nanos() as f64 / shape.flops() as f64;
    let mut sizes = shape.sizes;
    let rows = if shape.layout == ProductLayout::Tn { &mut sizes[2] } else { &mut sizes[0] };
    let short = (f64::from(*rows) * share) as u32;
    *rows = (*rows).min(short.next_multiple_of(STEP).max(STEP));
    ProductShape { sizes, ..shape }
}

/// What a choice of tilings is good for: this device with this driver, what is used of it, and these kernels.
pub fn key(gpu: &Gpu) -> String {
    let adapter = gpu.adapter();
    let target = gpu.target();
    let mut hasher = DefaultHasher::new();
    let mut add_kernel = |name| {
        let (types, reduction) = Default::default();
        let key = KernelKey { shader: name, constants: Vec::new(), types, reduction };
        Shader::named(name).text(&key).hash(&mut hasher);
    };
    add_kernel("gemm");
    add_kernel("gemm_sum");
    add_kernel("attention");
    add_kernel("attention_backward");
    if target.subgroups {
        add_kernel("attention_direct");
        add_kernel("attention_backward_direct");
    }
    if target.cooperative.any() {
        for name in ["gemm_cooperative", "attention_cooperative", "attention_backward_cooperative"]
        {
            add_kernel(name);
        }
    }
    (target.cooperative, target.workgroup_memory, Tiling::ALL).hash(&mut hasher);
    format!("{}{:016x}", adapter_key(adapter), hasher.finish())
}

/// What all [keys](key) of an adapter with its driver begin with.
pub fn adapter_key(adapter: &AdapterSummary) -> String {
    format!("{} / {} / {} / ", adapter.name, adapter.backend, adapter.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_products_are_shortened_and_short_ones_are_not() {
        let shape = |layout, sizes| ProductShape::new(Precision::F32, layout, sizes);
        let short = |layout, sizes, rate| shortened(shape(layout, sizes), rate).sizes;
        let sizes = [12608, 768, 3072];
        // 59.5 GFLOP: one 40th in 1.5 ms at 1 TFLOP/s, all of it at 60.
        assert_eq!(short(ProductLayout::Nt, sizes, 1e3), [512, 768, 3072]);
        assert_eq!(short(ProductLayout::Nt, sizes, 2e4), [6656, 768, 3072]);
        assert_eq!(short(ProductLayout::Nt, sizes, 6e4), [12608, 768, 3072]);
        assert_eq!(short(ProductLayout::Tn, [768, 3072, 12608], 1e3), [768, 3072, 512]);
        assert_eq!(short(ProductLayout::Nn, [64, 768, 768], 1.0), [64, 768, 768]);
    }
}
