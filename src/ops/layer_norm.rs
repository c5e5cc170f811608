//! LayerNorm over the last dimension.

use super::reduce::{add_column_sums, rows_per_chunk};
use super::{groups_of_lanes, row_lanes};
use crate::program::{Recorder, Tensor};

/// `x [.., D] → (x − μ) / √(σ² + eps) · gamma + beta`, variance biased.
pub fn layer_norm(rec: &mut Recorder, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient("norm", rec.shape(x).to_vec());
    let stats = rec.transient("stats", [rows, 2]);
    let lanes = [("WG", row_lanes(rec, dim))];
    let uniform = [rows as u32, dim as u32, eps.to_bits()];
    rec.dispatch("layer_norm", &lanes, &uniform, &[x, gamma, beta, y, stats], rows);
    rec.on_backward(y, &[x, gamma, beta], move |rec, dy| {
        if let (Some(d_gamma), Some(d_beta)) = (rec.param_grad(gamma), rec.param_grad(beta)) {
            let per_chunk = rows_per_chunk(rec);
            let chunks = rows.div_ceil(per_chunk);
            let gamma_sums = rec.transient("d gamma", [chunks, dim]);
            let beta_sums = rec.transient("d beta", [chunks, dim]);
            let count = chunks * dim;
            let uniform = [rows, dim, per_chunk, count].map(|n| n as u32);
            let bindings = [dy, x, stats, gamma_sums, beta_sums];
            let groups = groups_of_lanes(count);
            rec.dispatch("layer_norm_backward_params", &[], &uniform, &bindings, groups);
            add_column_sums(rec, gamma_sums, d_gamma, None);
            add_column_sums(rec, beta_sums, d_beta, None);
        }
        if rec.needs_grad(x) {
            let (dx, accumulate) = rec.grad_target(x);
            let constants = [("ACCUMULATE", u32::from(accumulate)), lanes[0]];
            let bindings = [dy, x, gamma, stats, dx];
            rec.dispatch(
                "layer_norm_backward",
                &constants,
                &[rows as u32, dim as u32],
                &bindings,
                rows,
            );
        }
    });
    y
}
