//! LayerNorm over the last dimension.

use super::reduce::{add_column_sums, rows_per_chunk};
use super::{groups_of_eight, groups_of_lanes, reads_textures, row_lanes};
use crate::program::{Recorder, Tensor};

/// `x [.., D] → (x − μ) / √(σ² + eps) · gamma + beta`, variance biased.
pub fn layer_norm(rec: &mut Recorder, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient("norm", rec.shape(x).to_vec());
    let stats = rec.transient("stats", [rows, 2]);
    let lanes = [("WG", row_lanes(rec, dim))];
    let uniform = [rows as u32, dim as u32, eps.to_bits()];
    let bindings = [x, gamma, beta, y, stats];
    if reads_textures(rec, dim, &[x]) {
        rec.dispatch("layer_norm_texture", &[], &uniform, &bindings, groups_of_eight(rows));
    } else {
        rec.dispatch("layer_norm", &lanes, &uniform, &bindings, rows);
    }
    rec.on_backward(y, &[x, gamma, beta], move |rec, dy| {
        if let (Some(d_gamma), Some(d_beta)) = (rec.param_grad(gamma), rec.param_grad(beta)) {
            let per_chunk = rows_per_chunk(rec);
            let chunks = rows.div_ceil(per_chunk);
            let gamma_sums = rec.transient("d gamma", [chunks, dim]);
            let beta_sums = rec.transient("d beta", [chunks, dim]);
            let count = chunks * dim;
            let uniform = [rows, dim, per_chunk, count].map(|n| n as u32);
            let bindings = [dy, x, stats, gamma_sums, beta_sums];
            if reads_textures(rec, dim, &[x, stats]) {
                let groups = groups_of_eight(count / 4);
                let kernel = "layer_norm_texture_backward_params";
                rec.dispatch(kernel, &[], &uniform, &bindings, groups);
            } else {
                let groups = groups_of_lanes(count);
                rec.dispatch("layer_norm_backward_params", &[], &uniform, &bindings, groups);
            }
            add_column_sums(rec, gamma_sums, d_gamma, None);
            add_column_sums(rec, beta_sums, d_beta, None);
        }
        if rec.needs_grad(x) {
            let (dx, accumulate) = rec.grad_target(x);
            let accumulate = ("ACCUMULATE", u32::from(accumulate));
            let bindings = [dy, x, gamma, stats, dx];
            let uniform = [rows as u32, dim as u32];
            if reads_textures(rec, dim, &[x]) {
                let groups = groups_of_eight(rows);
                let kernel = "layer_norm_texture_backward";
                rec.dispatch(kernel, &[accumulate], &uniform, &bindings, groups);
            } else {
                let constants = [accumulate, lanes[0]];
                rec.dispatch("layer_norm_backward", &constants, &uniform, &bindings, rows);
            }
        }
    });
    y
}
