//! Multi-head softmax attention on a fused qkv projection, streamed forward and backward.

use super::reads_textures;
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
    let vectors = dim.div_ceil(4);
    // A load serves all of an invocation's own tokens.
    let (lanes, most, block) = match rec.tier() {
        Tier::Gpu => (64, 1, 4),
        // For few tokens the kernel would take longer to compile than it gains.
        Tier::Cpu if tokens <= 32 => (4, 1, 1),
        Tier::Cpu => (4, (32 / vectors).clamp(1, 2), 1),
        Tier::CpuTextures => (8, (64 / vectors).clamp(1, 4), 1),
    };
    let tiles = tokens.div_ceil(lanes * most);
    // No more than fill the tiles.
    let own = tokens.div_ceil(lanes * tiles);
    let groups = batch * count * tiles;
    let constants = [
        ("WG", lanes as u32),
        ("DIM_HEAD", dim as u32),
        ("VECTORS", vectors as u32),
        ("OWN", own as u32),
        ("BLOCK", block),
    ];
    let scale = 1.0 / (dim as f32).sqrt();
    let sizes = [tokens, count, tiles, groups].map(|n| n as u32);
    let uniform = [sizes[0], sizes[1], sizes[2], sizes[3], scale.to_bits()];
    // One product of queries with keys, or of weights with values.
    let product_flops = 2 * (batch * count * tokens * tokens * dim) as u64;

    let out = rec.transient_like(qkv, "attention", [batch, tokens, count * dim]);
    let lse = rec.transient("lse", [batch, count, tokens]);
    let kernels = Kernels::choose(rec, qkv, dim);
    let bindings = [qkv, out, lse];
    let flops = 2 * product_flops;
    rec.dispatch_with_flops(kernels.forward, &constants, &uniform, &bindings, groups, flops);
    rec.on_backward(out, &[qkv], move |rec, d_out| {
        let (d_qkv, accumulate) = rec.grad_target(qkv);
        assert!(!accumulate, "a qkv projection feeds one attention");
        // Read as vectors, two rows in each.
        let rows = (batch * count * tokens).next_multiple_of(2);
        let row_stats = rec.transient("row_stats", [rows, 2]);
        // Recomputed scores are not counted: the gradient's own work are four products.
        let bindings = [qkv, out, lse, d_out, d_qkv, row_stats];
        rec.dispatch_with_flops(kernels.queries, &constants, &uniform, &bindings, groups, flops);
        let bindings = [qkv, row_stats, d_out, d_qkv];
        rec.dispatch_with_flops(kernels.keys, &constants, &uniform, &bindings, groups, flops);
    });
    out
}

/// Forward pass, gradient of queries, gradient of keys and values.
#[derive(Clone, Copy)]
struct Kernels {
    forward: &'static str,
    queries: &'static str,
    keys: &'static str,
}

impl Kernels {
    fn choose(rec: &Recorder, qkv: Tensor, dim: usize) -> Self {
        if reads_textures(rec, dim, &[qkv]) {
            Self {
                forward: "attention_texture",
                queries: "attention_texture_backward_q",
                keys: "attention_texture_backward_kv",
            }
        } else if dim.is_multiple_of(4) {
            Self {
                forward: "attention_vector",
                queries: "attention_vector_backward_q",
                keys: "attention_vector_backward_kv",
            }
        } else {
            Self {
                forward: "attention",
                queries: "attention_backward_q",
                keys: "attention_backward_kv",
            }
        }
    }
}
