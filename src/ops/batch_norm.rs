//! BatchNorm without affine, in front of a linear probe.

use super::groups_of_lanes;
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
    let sizes = [rows as u32, dim as u32];
    let uniform = [sizes[0], sizes[1], norm.eps.to_bits(), norm.momentum.to_bits()];
    let bindings = [x, norm.running_mean, norm.running_var, y, stats];
    let constants = [("TRAIN", u32::from(norm.train))];
    rec.dispatch("batch_norm", &constants, &uniform, &bindings, groups_of_lanes(dim));
    rec.on_backward(y, &[x], move |rec, dy| {
        assert!(norm.train, "running statistics have no gradient here");
        let (dx, accumulate) = rec.grad_target(x);
        assert!(!accumulate, "features feed one head");
        let bindings = [dy, y, stats, dx];
        rec.dispatch("batch_norm_backward", &[], &sizes, &bindings, groups_of_lanes(dim));
    });
    y
}
