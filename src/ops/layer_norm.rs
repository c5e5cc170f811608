//! LayerNorm over the last dimension.

use super::reduce::{add_two_column_sums, groups_of_strips, rows_per_chunk, shares_of_rows};
use super::row_lanes;
use crate::kernels::{layer_norm, layer_norm_backward, layer_norm_backward_params};
use crate::program::{Recorder, Tensor};

/// `x [.., D] → (x − μ) / √(σ² + eps) · gamma + beta`, variance biased.
pub fn layer_norm(rec: &mut Recorder, x: Tensor, gamma: Tensor, beta: Tensor, eps: f32) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient_like(x, "norm", rec.shape(x).to_vec());
    let stats = rec.transient("stats", [rows, 2]);
    let wg = row_lanes(dim);
    let params = layer_norm::Params { rows: rows as u32, dim: dim as u32, eps };
    let bindings = layer_norm::Bindings { x, gamma, beta, y, stats };
    rec.launch(params, layer_norm::Constants { wg }, bindings, rows);
    rec.on_backward(y, &[x, gamma, beta], move |rec, dy| {
        if let (Some(d_gamma), Some(d_beta)) = (rec.param_grad(gamma), rec.param_grad(beta)) {
            param_grads(rec, [dy, x, stats], [d_gamma, d_beta]);
        }
        if rec.needs_grad(x) {
            let (dx, accumulate) = rec.grad_target(x);
            let params = layer_norm_backward::Params { rows: rows as u32, dim: dim as u32 };
            let constants = layer_norm_backward::Constants { accumulate, wg };
            let bindings = layer_norm_backward::Bindings { dy, x, gamma, stats, dx };
            rec.launch(params, constants, bindings, rows);
        }
    });
    y
}

/// Adds the gradients of gamma and beta, through partial sums where there are many rows.
fn param_grads(rec: &mut Recorder, [dy, x, stats]: [Tensor; 3], [d_gamma, d_beta]: [Tensor; 2]) {
    let (rows, dim) = rec.rows_and_dim(x);
    let per_chunk = rows_per_chunk(rec, rows);
    let chunks = rows.div_ceil(per_chunk);
    let is_single = chunks == 1;
    let [gamma_sums, beta_sums] = if is_single {
        [d_gamma, d_beta]
    } else {
        ["d gamma", "d beta"].map(|name| rec.transient(name, [chunks, dim]))
    };
    let shares = shares_of_rows(per_chunk);
    let groups = groups_of_strips(chunks, dim, shares);
    let params = layer_norm_backward_params::Params {
        rows: rows as u32,
        dim: dim as u32,
        rows_per_chunk: per_chunk as u32,
        shares: shares as u32,
        groups: groups as u32,
    };
    let constants = layer_norm_backward_params::Constants { accumulate: is_single };
    let bindings = layer_norm_backward_params::Bindings {
        dy,
        x,
        stats,
        d_gamma: gamma_sums,
        d_beta: beta_sums,
    };
    rec.launch(params, constants, bindings, groups);
    if !is_single {
        add_two_column_sums(rec, [(gamma_sums, d_gamma), (beta_sums, d_beta)]);
    }
}
