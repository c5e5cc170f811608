//! Choosing in which form attention is computed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::agreement::{Check, Values, agree, normal, same_every_time, twins, write};
use super::effort::{Effort, LONGEST, ROUNDS, SOFTWARE, WARM_UP, nothing_right};
use super::sampler::{median, sample, warm_up};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{AttentionForm, AttentionShape, KernelTarget};
use crate::ops::{Heads, attention};
use crate::program::{Buffers, Device, Program, Recorder};

/// How fast a form is, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredAttention {
    /// The kernels.
    pub form: AttentionForm,
    /// Floating-point operations, 10⁹ a second; what is computed again does not count.
    pub gflops: f64,
}

/// How fast attention of one shape is in each form.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionTuning {
    /// What was measured.
    pub shape: AttentionShape,
    /// The fastest first; of a single form nothing is measured.
    pub measured: Vec<MeasuredAttention>,
    /// The fastest that is right.
    pub chosen: AttentionForm,
}

/// Heads of a sample.
const HEADS: usize = 8;
/// Samples of the largest batch.
const MOST_SAMPLES: usize = 64;

/// Measures attention of `shapes` in the forms that the device offers, and takes the fastest that is right; also returns
/// the forms that are not.
pub(super) async fn tune(
    gpu: &Gpu,
    shapes: &BTreeSet<AttentionShape>,
    effort: Effort,
    turn: &mut impl AsyncFnMut(usize, usize),
) -> Result<(Vec<AttentionTuning>, BTreeSet<AttentionForm>)> {
    let (mut tuned, mut refused) = (Vec::new(), BTreeSet::new());
    let target = gpu.target();
    for (done, &shape) in shapes.iter().enumerate() {
        let is_offered = |form: &AttentionForm| target.offers_attention(*form, &shape);
        let forms: Vec<AttentionForm> = AttentionForm::ALL.into_iter().filter(is_offered).collect();
        if let &[chosen] = forms.as_slice() {
            tuned.push(AttentionTuning { shape, measured: Vec::new(), chosen });
            continue;
        }
        turn(done, shapes.len()).await;
        let measured = measure(gpu, shape, &forms).await?;
        let rate = measured.iter().map(|measured| measured.gflops).fold(0.0, f64::max);
        let check = if rate < SOFTWARE { Check::small() } else { effort.check };
        let mut chosen = None;
        for candidate in &measured {
            if agrees(gpu, shape, candidate.form, check).await? {
                chosen = Some(candidate.form);
                break;
            }
            refused.insert(candidate.form);
        }
        let what = || format!("no attention of {} tokens", shape.tokens);
        let chosen = chosen.ok_or_else(|| nothing_right(gpu, &what()))?;
        tuned.push(AttentionTuning { shape, measured, chosen });
    }
    Ok((tuned, refused))
}

/// `target`, which computes attention in `form`.
fn computing(target: &KernelTarget, form: AttentionForm) -> KernelTarget {
    KernelTarget { products: target.products.clone().with_attention(form), ..target.clone() }
}

/// Attention of many heads in `form`, and its gradient.
#[cfg(feature = "native")]
pub(crate) fn record_attention(
    target: &KernelTarget,
    shape: AttentionShape,
    form: AttentionForm,
) -> Recorder {
    record(computing(target, form), shape, MOST_SAMPLES)
}

/// Attention of a batch and its gradient, of the external tensors `qkv` and `d_out`; it leaves `out` and `d_qkv`.
fn record(target: KernelTarget, shape: AttentionShape, batch: usize) -> Recorder {
    let [tokens, dim] = [shape.tokens, shape.dim].map(|extent| extent as usize);
    let mut rec = Recorder::new(target, true);
    let qkv = rec.external_of(shape.operands, "qkv", [batch, tokens, 3 * HEADS * dim]);
    rec.require_grad(qkv);
    let out = attention(&mut rec, qkv, Heads { count: HEADS, dim }, None);
    rec.keep(out, "out");
    let d_out = rec.external_of(shape.operands, "d_out", [batch, tokens, HEADS * dim]);
    rec.set_grad(out, d_out);
    rec.backward();
    let d_qkv = rec.grad(qkv).expect("a gradient");
    rec.keep(d_qkv, "d_qkv");
    rec
}

/// Fills the inputs with random values.
fn fill(program: &Program, shape: AttentionShape, batch: usize) {
    let values = batch * HEADS * (shape.tokens * shape.dim) as usize;
    for (stream, (label, count)) in [("qkv", 3 * values), ("d_out", values)].into_iter().enumerate()
    {
        write(program, label, &normal(stream as u32, 1.0, count), shape.operands);
    }
}

/// A program of one form, with random inputs; none if the driver does not take its kernels.
async fn build(
    gpu: &Gpu,
    shape: AttentionShape,
    form: AttentionForm,
    batch: usize,
) -> Result<Option<Program>> {
    let device = Device::from(gpu.clone());
    let rec = record(computing(&gpu.target(), form), shape, batch);
    device.declare(&rec);
    #[cfg(target_family = "wasm")]
    device.compile(|_, _| ()).await?;
    match Program::build(&device, &rec, &Buffers::new()) {
        Ok(program) => {
            fill(&program, shape, batch);
            Ok(Some(program))
        }
        Err(Error::Device { .. }) if !gpu.is_lost() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The forms, the fastest first.
async fn measure(
    gpu: &Gpu,
    shape: AttentionShape,
    forms: &[AttentionForm],
) -> Result<Vec<MeasuredAttention>> {
    let batch = batch_of_some_time(gpu, shape).await?;
    let mut candidates: Vec<(AttentionForm, Program, Vec<f64>)> = Vec::new();
    for &form in forms {
        if let Some(program) = build(gpu, shape, form, batch).await? {
            candidates.push((form, program, Vec::new()));
        }
    }
    if let Some((_, program, _)) = candidates.first() {
        warm_up(program, WARM_UP).await?;
    }
    for _ in 0..ROUNDS {
        for (_, program, samples) in &mut candidates {
            samples.push(sample(program, 1).await?);
        }
    }
    // Two products forward, four backward.
    let flops =
        12.0 * (batch * HEADS) as f64 * f64::from(shape.tokens).powi(2) * f64::from(shape.dim);
    let mut measured: Vec<MeasuredAttention> = candidates
        .into_iter()
        .map(|(form, _, mut samples)| MeasuredAttention {
            form,
            gflops: flops / median(&mut samples).max(1.0),
        })
        .collect();
    measured.sort_by(|a, b| b.gflops.total_cmp(&a.gflops));
    Ok(measured)
}

/// Samples that take [`LONGEST`] in the form that every device has: small work says too little.
async fn batch_of_some_time(gpu: &Gpu, shape: AttentionShape) -> Result<usize> {
    let mut batch = 1;
    loop {
        let program = build(gpu, shape, AttentionForm::default(), batch).await?;
        let program = program.ok_or_else(|| nothing_right(gpu, "no attention"))?;
        sample(&program, 1).await?;
        let time = Duration::from_nanos(sample(&program, 1).await? as u64);
        if time >= LONGEST / 2 || batch >= MOST_SAMPLES {
            return Ok(batch);
        }
        batch *= 4;
    }
}

/// Whether attention in `form` and its gradient come to what they should, every time to the same bits.
async fn agrees(
    gpu: &Gpu,
    shape: AttentionShape,
    form: AttentionForm,
    check: Check,
) -> Result<bool> {
    const SAMPLES: usize = 2;
    // Of long sequences a part, as the processor takes its time for them.
    let shape = AttentionShape { tokens: shape.tokens.min(check.sizes[0] as u32), ..shape };
    let Some(program) = build(gpu, shape, form, SAMPLES).await? else { return Ok(false) };
    let found = results(&program, shape, check.runs).await?;
    let wanted = reference(gpu, shape, SAMPLES).await?;
    Ok(found
        .is_some_and(|found| found.iter().zip(&wanted).all(|(found, wanted)| agree(found, wanted))))
}

async fn results(
    program: &Program,
    shape: AttentionShape,
    runs: usize,
) -> Result<Option<Vec<Values>>> {
    let labels = [("out", shape.operands), ("d_qkv", shape.operands)];
    same_every_time(program, &labels, runs, |_| ()).await
}

/// What it should come to: what the twins compute; where there are none, the form that every device has.
async fn reference(gpu: &Gpu, shape: AttentionShape, batch: usize) -> Result<Vec<Values>> {
    let program = if let Some((device, processor)) = twins(shape.operands) {
        let program =
            Program::build(&device, &record(processor.into(), shape, batch), &Buffers::new())?;
        fill(&program, shape, batch);
        program
    } else {
        build(gpu, shape, AttentionForm::default(), batch).await?.expect("built before")
    };
    Ok(results(&program, shape, 1).await?.expect("a single run"))
}
