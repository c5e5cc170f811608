//! Softmax over the last dimension, where probabilities themselves are wanted.

use super::row_lanes;
use crate::kernels::{softmax, softmax_backward};
use crate::program::{Recorder, Tensor};

/// `x [.., D] → exp(x) / Σ exp(x)`.
pub fn softmax(rec: &mut Recorder, x: Tensor) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient_like(x, "softmax", rec.shape(x).to_vec());
    let constants = softmax::Constants { wg: row_lanes(dim) };
    let params = softmax::Params { rows: rows as u32, dim: dim as u32 };
    rec.launch(params, constants, softmax::Bindings { x, y }, rows);
    rec.on_backward(y, &[x], move |rec, dy| {
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "logits feed one softmax");
        rec.launch(params, constants, softmax_backward::Bindings { dy, y, dx }, rows);
    });
    y
}
