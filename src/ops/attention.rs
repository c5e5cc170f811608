//! Multi-head softmax attention on a fused qkv projection, streamed forward, and backward in one pass.

use super::attention_variant::Variant;
use super::dropout::Dropout;
use crate::config::MAX_DIM_HEAD;
use crate::kernels::{AttentionShape, attention, attention_backward};
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
    let shape = AttentionShape::new(rec.kept_in(qkv), tokens, dim);
    #[cfg(feature = "gpu")]
    rec.note_attention(shape);
    let variant = Variant::forward(rec.target(), shape, dropout.is_some());
    let tiles = tokens.div_ceil(variant.queries);
    let (site, threshold, factor) = dropout.map_or((0, 0, 1.0), Dropout::numbers);
    let params = attention::Params {
        tokens: tokens as u32,
        heads: count as u32,
        tiles: tiles as u32,
        count: (batch * count * tiles) as u32,
        scale: 1.0 / (dim as f32).sqrt(),
        site,
        threshold,
        factor,
    };
    // Of each pair of tokens: a product of queries with keys and one of weights with values. Backward there are two of
    // either; the scores that are computed again are not counted.
    let flops = 4 * (batch * count * tokens * tokens * dim) as u64;

    let out = rec.transient_like(qkv, "attention", [batch, tokens, count * dim]);
    let lse = rec.transient("lse", [batch, count, tokens]);
    let [step, sample_ids] = match dropout {
        Some(Dropout { step, sample_ids, .. }) => [step, sample_ids],
        None => [rec.unused(); 2],
    };
    let bindings = attention::Bindings { step, sample_ids, qkv, out, lse };
    let work = Work { groups: params.count as usize, flops };
    rec.launch_variant(variant.kernel, params, bindings, work);
    rec.on_backward(out, &[qkv], move |rec, d_out| {
        let (d_qkv, accumulate) = rec.grad_target(qkv);
        assert!(!accumulate, "a qkv projection feeds one attention");
        let groups = batch * count;
        let rows =
            rec.transient("attention gradient", [groups * tokens, 4 * (dim.div_ceil(4) + 1)]);
        let variant = Variant::backward(rec.target(), shape, dropout.is_some());
        let params = attention::Params { tiles: 1, count: groups as u32, ..params };
        let bindings =
            attention_backward::Bindings { step, sample_ids, qkv, out, lse, d_out, d_qkv, rows };
        rec.launch_variant(variant.kernel, params, bindings, Work { groups, flops: 2 * flops });
    });
    out
}
