//! Pooling tokens into one feature.

use super::groups_of_lanes;
use crate::program::{Recorder, Tensor};

/// Mean of the tokens in `range`: `x [B, T, D] → [B, D]`. One token is the cls token's pooling.
pub fn mean_pool(rec: &mut Recorder, x: Tensor, range: std::ops::Range<usize>) -> Tensor {
    let &[batch, tokens, dim] = rec.shape(x) else { panic!("tokens are [B, T, D]") };
    assert!(range.end <= tokens && !range.is_empty(), "{range:?} of {tokens} tokens");
    let y = rec.transient_like(x, "pool", [batch, dim]);
    let uniform =
        move |count: usize| [tokens, range.start, range.len(), dim, count].map(|n| n as u32);
    let count = batch * dim;
    rec.dispatch("mean_pool", &[], &uniform(count), &[x, y], groups_of_lanes(count));
    rec.on_backward(y, &[x], move |rec, dy| {
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "pooled tokens feed one head");
        let count = batch * tokens * dim;
        rec.dispatch("mean_pool_backward", &[], &uniform(count), &[dy, dx], groups_of_lanes(count));
    });
    y
}
