//! Multi-head softmax attention on a fused qkv projection, streamed forward and backward.

use crate::config::MAX_DIM_HEAD;
use crate::gpu::Tier;
use crate::program::{Recorder, Tensor};

/// Number of heads and values per head.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads, H.
    pub count: usize,
    /// Values per head, d.
    pub dim: usize,
}

/// `qkv [B, L, 3·H·d]` (queries, keys, values, each by head) `→ [B, L, H·d]`, scaled by `d^-½`.
///
/// # Panics
/// If a head is wider than [`MAX_DIM_HEAD`]; [`crate::ModelConfig::validate`] refuses that before.
pub fn attention(rec: &mut Recorder, qkv: Tensor, heads: Heads) -> Tensor {
    let &[batch, tokens, width] = rec.shape(qkv) else { panic!("qkv is [B, L, 3·H·d]") };
    let Heads { count, dim } = heads;
    assert!(dim <= MAX_DIM_HEAD && width == 3 * count * dim, "{heads:?} in a width of {width}");
    let lanes = match rec.tier() {
        Tier::Cpu => 8,
        Tier::Gpu => 64,
    };
    let tiles = tokens.div_ceil(lanes);
    let groups = batch * count * tiles;
    let constants = [("WG", lanes as u32), ("DIM_HEAD", dim as u32)];
    let scale = 1.0 / (dim as f32).sqrt();
    let sizes = [tokens, count, tiles, groups].map(|n| n as u32);
    let uniform = [sizes[0], sizes[1], sizes[2], sizes[3], scale.to_bits()];
    // One product of queries with keys, or of weights with values.
    let product_flops = 2 * (batch * count * tokens * tokens * dim) as u64;

    let out = rec.transient("attention", [batch, tokens, count * dim]);
    let lse = rec.transient("lse", [batch, count, tokens]);
    let bindings = [qkv, out, lse];
    rec.dispatch_with_flops(
        "attention",
        &constants,
        &uniform,
        &bindings,
        groups,
        2 * product_flops,
    );
    rec.on_backward(out, &[qkv], move |rec, d_out| {
        let (d_qkv, accumulate) = rec.grad_target(qkv);
        assert!(!accumulate, "a qkv projection feeds one attention");
        let delta = rec.transient("delta", [batch, count, tokens]);
        // Recomputed scores are not counted: four products are the gradient's own work.
        let flops = 2 * product_flops;
        let bindings = [qkv, out, lse, d_out, d_qkv, delta];
        rec.dispatch_with_flops(
            "attention_backward_q",
            &constants,
            &uniform,
            &bindings,
            groups,
            flops,
        );
        let bindings = [qkv, lse, delta, d_out, d_qkv];
        rec.dispatch_with_flops(
            "attention_backward_kv",
            &constants,
            &uniform,
            &bindings,
            groups,
            flops,
        );
    });
    out
}
