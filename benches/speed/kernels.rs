//! Single kernels at the sizes that they have in training.

use criterion::{BenchmarkId, Criterion, Throughput};
use webmae::kernels::{Precision, Processor, ProductLayout};
use webmae::ops::gemm::{add_product, gemm};
use webmae::ops::optimizer::{
    METRICS_RING, METRICS_WORDS, STATE_WORDS, STEP_WORDS, Scalars, SlabTensors, State, StepTensors,
    adamw,
};
use webmae::ops::{Heads, attention, layer_norm};
use webmae::program::{Device, Recorder, Tensor};
use webmae::train::paper::PRETRAIN_ADAMW;
use webmae::tune::Ending;

use super::program::Timed;

/// Tokens and widths of an MLP's first layer, in W1 and in ViT-B with the batch of W3.
fn layers(device: &Device) -> [[usize; 3]; 2] {
    [[64 * 17, 192, 768], [vit_b_batch(device) * 50, 768, 3072]]
}

fn vit_b_batch(device: &Device) -> usize {
    if device.target().processor == Processor::Cpu { 4 } else { 64 }
}

/// Every layout with the endings that training gives it: `A·Bᵀ` is a layer's forward pass, `A·B` its
/// input gradient, `Aᵀ·B` its weight gradient.
pub fn products(criterion: &mut Criterion, device: &Device) {
    let cases = [
        (ProductLayout::Nt, "A·Bᵀ", &[Ending::Bias, Ending::BiasResidual, Ending::BiasGelu][..]),
        (ProductLayout::Nn, "A·B", &[Ending::GeluGrad, Ending::Accumulate]),
        (ProductLayout::Tn, "Aᵀ·B", &[Ending::Accumulate]),
    ];
    let mut group = criterion.benchmark_group("gemm");
    for [tokens, dim, hidden] in layers(device) {
        for (layout, name, endings) in cases {
            let sizes @ [m, n, k] = match layout {
                ProductLayout::Nt => [tokens, hidden, dim],
                ProductLayout::Nn => [tokens, dim, hidden],
                ProductLayout::Tn => [hidden, dim, tokens],
            };
            for &ending in [Ending::Plain].iter().chain(endings) {
                let record = || product(device, layout, sizes, ending);
                device.choose_products(&record()).expect("tiles");
                let timed = Timed::new(device, &record());
                group.throughput(Throughput::Elements(timed.program.plan().flops));
                let id = BenchmarkId::new(format!("{name} {ending:?}"), format!("{m}x{n}x{k}"));
                group.bench_function(id, |b| b.iter_custom(|runs| timed.run(runs)));
            }
        }
    }
    group.finish();
}

fn product(
    device: &Device,
    layout: ProductLayout,
    [m, n, k]: [usize; 3],
    ending: Ending,
) -> Recorder {
    let mut rec = Recorder::new(device.target(), false);
    let (a, b) = match layout {
        ProductLayout::Nt => ([m, k], [n, k]),
        ProductLayout::Nn => ([m, k], [k, n]),
        ProductLayout::Tn => ([k, m], [k, n]),
    };
    let operands = [rec.external("a", a), rec.external("b", b), rec.external("out", [m, n])];
    if ending == Ending::Accumulate && layout == ProductLayout::Tn {
        // As gradients of weights are; what is left to add is no part of the product.
        add_product(&mut rec, layout, [m, n, k], operands);
    } else {
        let epilogue = ending.epilogue(&mut rec, Precision::F32, [m, n]);
        gemm(&mut rec, layout, [m, n, k], operands, epilogue);
    }
    rec
}

/// W1's encoder and ViT-B's decoder.
pub fn attention_passes(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("attention");
    let cases = [(64, 17, Heads { count: 3, dim: 64 })];
    let decoder = (vit_b_batch(device), 197, Heads { count: 16, dim: 32 });
    for (batch, tokens, heads) in cases.into_iter().chain([decoder]) {
        let Heads { count, dim } = heads;
        for backward in [false, true] {
            let mut rec = Recorder::new(device.target(), backward);
            let qkv = rec.external("qkv", [batch, tokens, 3 * count * dim]);
            rec.require_grad(qkv);
            let out = attention(&mut rec, qkv, heads, None);
            differentiate(&mut rec, out, backward);
            let timed = Timed::new(device, &rec);
            group.throughput(Throughput::Elements(timed.program.plan().flops));
            let id = BenchmarkId::new(passes(backward), format!("{batch}x{tokens}x{count}x{dim}"));
            group.bench_function(id, |b| b.iter_custom(|runs| timed.run(runs)));
        }
    }
    group.finish();
}

/// All tokens of a layer.
pub fn layer_norm_passes(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("layer_norm");
    for [tokens, dim, _] in layers(device) {
        for backward in [false, true] {
            let mut rec = Recorder::new(device.target(), backward);
            let x = rec.external("x", [tokens, dim]);
            let [gamma, beta, d_gamma, d_beta] =
                ["gamma", "beta", "d gamma", "d beta"].map(|label| rec.external(label, [dim]));
            if backward {
                rec.require_grad(x);
                rec.add_param("gamma", gamma, Some(d_gamma));
                rec.add_param("beta", beta, Some(d_beta));
            }
            let y = layer_norm(&mut rec, x, gamma, beta, 1e-6);
            differentiate(&mut rec, y, backward);
            let timed = Timed::new(device, &rec);
            group.throughput(Throughput::Elements((tokens * dim) as u64));
            let id = BenchmarkId::new(passes(backward), format!("{tokens}x{dim}"));
            group.bench_function(id, |b| b.iter_custom(|runs| timed.run(runs)));
        }
    }
    group.finish();
}

/// Sends a gradient back from `y`, if `backward`.
fn differentiate(rec: &mut Recorder, y: Tensor, backward: bool) {
    rec.keep(y, "y");
    if backward {
        let dy = rec.external("dy", rec.shape(y).to_vec());
        rec.set_grad(y, dy);
        rec.backward();
    }
}

fn passes(backward: bool) -> &'static str {
    if backward { "forward and backward" } else { "forward" }
}

/// A block of ViT-B: the gradients' norm, and the update.
pub fn adamw_update(criterion: &mut Criterion, device: &Device) {
    const LEN: usize = 12 * 768 * 768 + 13 * 768;
    let mut rec = Recorder::new(device.target(), false);
    let [values, grads, moment1, moment2] =
        ["values", "grads", "moment1", "moment2"].map(|label| rec.external(label, [LEN]));
    let slab = SlabTensors {
        values,
        grads,
        moment1,
        moment2,
        halves: None,
        averages: None,
        decayed: LEN,
        lr_scale: 1.0,
    };
    let tensors = StepTensors {
        step: rec.external("step", [STEP_WORDS]),
        state: rec.external("state", [STATE_WORDS]),
        loss: rec.external("loss", [1]),
        metrics: rec.external("metrics", [METRICS_RING, METRICS_WORDS]),
    };
    adamw(&mut rec, PRETRAIN_ADAMW, &[slab], tensors);
    let timed = Timed::new(device, &rec);
    timed.program.write("moment2", &vec![0.01f32; LEN]);
    timed.program.write("step", &[Scalars { lr: 1e-4, ..Scalars::default() }]);
    timed.program.write("state", &[State::default()]);
    let mut group = criterion.benchmark_group("adamw");
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::new("update", LEN), |b| {
        b.iter_custom(|runs| timed.run(runs));
    });
    group.finish();
}
