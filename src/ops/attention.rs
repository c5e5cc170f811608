//! Multi-head softmax attention on a fused qkv projection, streamed forward and backward.

use super::LANES;
use super::dropout::Dropout;
use crate::config::MAX_DIM_HEAD;
use crate::kernels::{attention, attention_backward_kv, attention_backward_q};
use crate::program::{Recorder, Tensor, Work};

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
/// With `dropout` some of the softmax's probabilities are dropped.
///
/// # Panics
/// If a head is wider than [`MAX_DIM_HEAD`]; [`crate::ModelConfig::validate`] refuses that before.
pub fn attention(
    rec: &mut Recorder,
    qkv: Tensor,
    heads: Heads,
    dropout: Option<Dropout>,
) -> Tensor {
    let &[batch, tokens, width] = rec.shape(qkv) else { panic!("qkv is [B, L, 3·H·d]") };
    let Heads { count, dim } = heads;
    assert!(dim <= MAX_DIM_HEAD && width == 3 * count * dim, "{heads:?} in a width of {width}");
    let tiles = tokens.div_ceil(LANES);
    let groups = batch * count * tiles;
    let (site, threshold, factor) = dropout.map_or((0, 0, 1.0), Dropout::numbers);
    let params = attention::Params {
        tokens: tokens as u32,
        heads: count as u32,
        tiles: tiles as u32,
        count: groups as u32,
        scale: 1.0 / (dim as f32).sqrt(),
        site,
        threshold,
        factor,
    };
    let constants = attention::Constants {
        wg: LANES as u32,
        dim_head: dim as u32,
        vectors: dim.div_ceil(4) as u32,
        scalar: !dim.is_multiple_of(4),
        dropout: dropout.is_some(),
        ..Default::default()
    };
    // Recomputed scores of the backward pass are not counted: either half of the gradient is two products, of
    // queries with keys or of weights with values, as is the forward pass.
    let flops = 4 * (batch * count * tokens * tokens * dim) as u64;
    let work = Work { groups, flops };

    let out = rec.transient_like(qkv, "attention", [batch, tokens, count * dim]);
    let lse = rec.transient("lse", [batch, count, tokens]);
    let [step, sample_ids] = match dropout {
        Some(Dropout { step, sample_ids, .. }) => [step, sample_ids],
        None => [rec.unused(); 2],
    };
    let bindings = attention::Bindings { step, sample_ids, qkv, out, lse };
    rec.launch_work(params, constants, bindings, work);
    rec.on_backward(out, &[qkv], move |rec, d_out| {
        let (d_qkv, accumulate) = rec.grad_target(qkv);
        assert!(!accumulate, "a qkv projection feeds one attention");
        let row_stats = rec.transient("row_stats", [batch * count * tokens, 2]);
        let bindings = attention_backward_q::Bindings {
            step,
            sample_ids,
            qkv,
            out,
            lse,
            d_out,
            d_qkv,
            row_stats,
        };
        rec.launch_work(params, constants, bindings, work);
        let bindings =
            attention_backward_kv::Bindings { step, sample_ids, qkv, row_stats, d_out, d_qkv };
        rec.launch_work(params, constants, bindings, work);
    });
    out
}
