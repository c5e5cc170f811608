//! Softmax over the last dimension, where probabilities themselves are wanted.

use super::row_lanes;
use crate::program::{Recorder, Tensor};

/// `x [.., D] → exp(x) / Σ exp(x)`.
pub fn softmax(rec: &mut Recorder, x: Tensor) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient_like(x, "softmax", rec.shape(x).to_vec());
    let lanes = [("WG", row_lanes(rec, dim))];
    let uniform = [rows as u32, dim as u32];
    rec.dispatch("softmax", &lanes, &uniform, &[x, y], rows);
    rec.on_backward(y, &[x], move |rec, dy| {
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "logits feed one softmax");
        rec.dispatch("softmax_backward", &lanes, &uniform, &[dy, y, dx], rows);
    });
    y
}
