//! Stochastic depth (Huang et al. 2016): a residual branch that is left out for some samples.

use super::groups_of_lanes;
use crate::program::{Recorder, Tensor};

/// Factor of each sample's branch in every residual connection.
#[derive(Debug, Clone, Copy)]
pub struct DropPath {
    /// `[connections, B]`: 0 where the branch is dropped, else 1 / (share kept).
    pub scales: Tensor,
    /// Which connection, from 0.
    pub connection: usize,
}

/// `shortcut + scale of the sample · branch`, both `[B, ..]`.
pub fn drop_path(rec: &mut Recorder, shortcut: Tensor, branch: Tensor, drop: DropPath) -> Tensor {
    let y = rec.transient_like(shortcut, "drop_path", rec.shape(shortcut).to_vec());
    let &[_, batch] = rec.shape(drop.scales) else { panic!("scales are [connections, B]") };
    let count = rec.len(y);
    let uniform = [count, count / batch, drop.connection * batch].map(|n| n as u32);
    let groups = groups_of_lanes(count);
    let bindings = [shortcut, branch, drop.scales, y];
    rec.dispatch("drop_path", &[("SHORTCUT", 1)], &uniform, &bindings, groups);
    rec.on_backward(y, &[shortcut, branch], move |rec, dy| {
        if rec.needs_grad(branch) {
            let (d_branch, accumulate) = rec.grad_target(branch);
            assert!(!accumulate, "a branch feeds one connection");
            let bindings = [rec.unused(), dy, drop.scales, d_branch];
            rec.dispatch("drop_path", &[("SHORTCUT", 0)], &uniform, &bindings, groups);
        }
        rec.add_grad(shortcut, dy);
    });
    y
}
