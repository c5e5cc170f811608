//! LayerNorm over the last dimension.

use super::reduce::{add_column_sums, groups_of_strips, rows_per_chunk};
use super::{Vectors, groups_of_eight, row_lanes};
use crate::program::{Recorder, Tensor};

/// `x [.., D] → (x − μ) / √(σ² + eps) · gamma + beta`, variance biased.
pub fn layer_norm(rec: &mut Recorder, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient_like(x, "norm", rec.shape(x).to_vec());
    let stats = rec.transient("stats", [rows, 2]);
    let lanes = [("WG", row_lanes(rec, dim))];
    let uniform = [rows as u32, dim as u32, eps.to_bits()];
    let bindings = [x, gamma, beta, y, stats];
    let vectors = Vectors::choose(rec, dim, &[x]);
    if let Some(vectors) = vectors {
        let kernel = vectors.of("layer_norm_texture", "layer_norm_vector");
        rec.dispatch(kernel, &[], &uniform, &bindings, groups_of_eight(rows));
    } else {
        rec.dispatch("layer_norm", &lanes, &uniform, &bindings, rows);
    }
    rec.on_backward(y, &[x, gamma, beta], move |rec, dy| {
        if let (Some(d_gamma), Some(d_beta)) = (rec.param_grad(gamma), rec.param_grad(beta)) {
            param_grads(rec, [dy, x, stats], [d_gamma, d_beta]);
        }
        if rec.needs_grad(x) {
            let (dx, accumulate) = rec.grad_target(x);
            let accumulate = ("ACCUMULATE", u32::from(accumulate));
            let bindings = [dy, x, gamma, stats, dx];
            let uniform = [rows as u32, dim as u32];
            if let Some(vectors) = vectors {
                let groups = groups_of_eight(rows);
                let kernel =
                    vectors.of("layer_norm_texture_backward", "layer_norm_vector_backward");
                rec.dispatch(kernel, &[accumulate], &uniform, &bindings, groups);
            } else {
                let constants = [accumulate, lanes[0]];
                rec.dispatch("layer_norm_backward", &constants, &uniform, &bindings, rows);
            }
        }
    });
    y
}

/// Adds the gradients of gamma and beta, through partial sums where there are very many rows.
fn param_grads(rec: &mut Recorder, [dy, x, stats]: [Tensor; 3], [d_gamma, d_beta]: [Tensor; 2]) {
    let (rows, dim) = rec.rows_and_dim(x);
    let per_chunk = rows_per_chunk(rec);
    let chunks = rows.div_ceil(per_chunk);
    let is_single = chunks == 1;
    let [gamma_sums, beta_sums] = if is_single {
        [d_gamma, d_beta]
    } else {
        ["d gamma", "d beta"].map(|name| rec.transient(name, [chunks, dim]))
    };
    let bindings = [dy, x, stats, gamma_sums, beta_sums];
    let accumulate = [("ACCUMULATE", u32::from(is_single))];
    let uniform = |count: usize| [rows, dim, per_chunk, count].map(|n| n as u32);
    if let Some(vectors) = Vectors::choose(rec, dim, &[x, stats]) {
        let groups = groups_of_eight(chunks * dim / 4);
        let uniform = uniform(chunks * dim);
        let kernel =
            vectors.of("layer_norm_texture_backward_params", "layer_norm_vector_backward_params");
        rec.dispatch(kernel, &accumulate, &uniform, &bindings, groups);
    } else {
        let groups = groups_of_strips(chunks, dim);
        let kernel = "layer_norm_backward_params";
        rec.dispatch(kernel, &accumulate, &uniform(groups), &bindings, groups);
    }
    if !is_single {
        add_column_sums(rec, gamma_sums, d_gamma, None);
        add_column_sums(rec, beta_sums, d_beta, None);
    }
}
