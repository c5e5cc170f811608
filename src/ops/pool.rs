//! Pooling tokens into one feature.

use super::groups_of_lanes;
use crate::kernels::{mean_pool, mean_pool_backward};
use crate::program::{Recorder, Tensor};

/// Mean of the tokens in `range`: `x [B, T, D] → [B, D]`. One token is the cls token's pooling.
pub fn mean_pool(rec: &mut Recorder, x: Tensor, range: std::ops::Range<usize>) -> Tensor {
    let &[batch, tokens, dim] = rec.shape(x) else { panic!("tokens are [B, T, D]") };
    assert!(range.end <= tokens && !range.is_empty(), "{range:?} of {tokens} tokens");
    let y = rec.transient_like(x, "pool", [batch, dim]);
    let params = move |count: usize| mean_pool::Params {
        tokens: tokens as u32,
        first: range.start as u32,
        pooled: range.len() as u32,
        dim: dim as u32,
        count: count as u32,
    };
    let count = batch * dim;
    let bindings = mean_pool::Bindings { x, y };
    rec.launch(params(count), Default::default(), bindings, groups_of_lanes(count));
    rec.on_backward(y, &[x], move |rec, dy| {
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "pooled tokens feed one head");
        let count = batch * tokens * dim;
        let bindings = mean_pool_backward::Bindings { dy, dx };
        rec.launch(params(count), Default::default(), bindings, groups_of_lanes(count));
    });
    y
}
