//! BatchNorm without affine, in front of a linear probe.

use super::groups_of_lanes;
use crate::kernels::{batch_norm, batch_norm_backward};
use crate::program::{Recorder, Tensor};

/// Running statistics and how they are used.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm {
    /// `[D]`.
    pub running_mean: Tensor,
    /// `[D]`.
    pub running_var: Tensor,
    /// Added to the variance.
    pub eps: f32,
    /// Share of the new batch in the running statistics.
    pub momentum: f32,
    /// Normalise by the batch and update the running statistics, or normalise by them.
    pub train: bool,
}

/// `x [B, D] → (x − μ) / √(σ² + eps)` per feature.
pub fn batch_norm(rec: &mut Recorder, x: Tensor, norm: BatchNorm) -> Tensor {
    let (rows, dim) = rec.rows_and_dim(x);
    let y = rec.transient_like(x, "batch_norm", [rows, dim]);
    let stats = rec.transient("stats", [dim, 2]);
    let BatchNorm { running_mean, running_var, eps, momentum, train } = norm;
    let params = batch_norm::Params { rows: rows as u32, dim: dim as u32, eps, momentum };
    let bindings = batch_norm::Bindings { x, running_mean, running_var, y, stats };
    rec.launch(params, batch_norm::Constants { train }, bindings, groups_of_lanes(dim));
    rec.on_backward(y, &[x], move |rec, dy| {
        assert!(train, "running statistics have no gradient here");
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "features feed one head");
        let params = batch_norm_backward::Params { rows: rows as u32, dim: dim as u32 };
        let bindings = batch_norm_backward::Bindings { dy, y, stats, dx };
        rec.launch(params, Default::default(), bindings, groups_of_lanes(dim));
    });
    y
}
