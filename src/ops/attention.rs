//! Multi-head softmax attention on a fused qkv projection, streamed forward, and backward in one pass.

use super::dropout::Dropout;
use crate::config::MAX_DIM_HEAD;
use crate::kernels::{attention, attention_backward};
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
    let forward = Tile::forward(dim);
    let tiles = tokens.div_ceil(SIDE * forward.queries);
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
    let constants = attention::Constants {
        queries: forward.queries as u32,
        keys: forward.keys as u32,
        dim_head: dim as u32,
        vectors: dim.div_ceil(4) as u32,
        own: dim.div_ceil(4 * SIDE) as u32,
        scalar: !dim.is_multiple_of(4),
        dropout: dropout.is_some(),
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
    rec.launch_work(params, constants, bindings, Work { groups: params.count as usize, flops });
    rec.on_backward(out, &[qkv], move |rec, d_out| {
        let (d_qkv, accumulate) = rec.grad_target(qkv);
        assert!(!accumulate, "a qkv projection feeds one attention");
        let rows = rec.transient(
            "attention gradient",
            [batch * count * tokens, 4 * (constants.vectors as usize + 1)],
        );
        let backward = Tile::backward(dim);
        let constants = attention::Constants {
            queries: backward.queries as u32,
            keys: backward.keys as u32,
            ..constants
        };
        let groups = batch * count;
        let params = attention::Params { tiles: 1, count: groups as u32, ..params };
        let bindings =
            attention_backward::Bindings { step, sample_ids, qkv, out, lse, d_out, d_qkv, rows };
        rec.launch_work(params, constants, bindings, Work { groups, flops: 2 * flops });
    });
    out
}

/// Rows and columns of a workgroup's invocations; `attention/heads.wgsl` has the same number.
const SIDE: usize = 8;

/// Queries and keys of an invocation: as many as registers and 16 KiB of workgroup memory hold.
#[derive(Debug, Clone, Copy)]
struct Tile {
    queries: usize,
    keys: usize,
}

impl Tile {
    /// For heads of `dim` values.
    fn forward(dim: usize) -> Self {
        match dim {
            ..=32 => Self { queries: 4, keys: 4 },
            33..=64 => Self { queries: 4, keys: 2 },
            65..=96 => Self { queries: 2, keys: 2 },
            _ => Self { queries: 2, keys: 1 },
        }
    }

    /// The same for the backward pass, which also has values, dO and two matrices of weights in that memory.
    fn backward(dim: usize) -> Self {
        match dim {
            ..=32 => Self { queries: 2, keys: 4 },
            33..=64 => Self { queries: 2, keys: 2 },
            65..=80 => Self { queries: 1, keys: 2 },
            81..=96 => Self { queries: 2, keys: 1 },
            _ => Self { queries: 1, keys: 1 },
        }
    }
}
