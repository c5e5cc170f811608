//! Residual connections that stand alone, and stochastic depth (Huang et al. 2016): a branch that is left out for
//! some samples.

use super::groups_of_lanes;
use crate::kernels::residual;
use crate::program::{Recorder, Tensor};

/// `a + b`, for a residual branch that ends without a projection.
pub fn residual(rec: &mut Recorder, a: Tensor, b: Tensor) -> Tensor {
    let out = rec.transient_like(a, "residual", rec.shape(a).to_vec());
    let count = rec.len(out);
    let params = residual::Params { count: count as u32, per_sample: count as u32, first: 0 };
    let constants = residual::Constants { shortcut: true, scaled: false };
    let bindings = residual::Bindings { a, b, scales: rec.unused(), out };
    rec.launch(params, constants, bindings, groups_of_lanes(count));
    rec.on_backward(out, &[a, b], move |rec, dy| {
        // One tensor for both: the branch's backward reads it before the shortcut is added to.
        rec.add_grad(b, dy);
        rec.add_grad(a, dy);
    });
    out
}

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
    let params = residual::Params {
        count: count as u32,
        per_sample: (count / batch) as u32,
        first: (drop.connection * batch) as u32,
    };
    let groups = groups_of_lanes(count);
    let scales = drop.scales;
    let constants = residual::Constants { shortcut: true, scaled: true };
    rec.launch(
        params,
        constants,
        residual::Bindings { a: shortcut, b: branch, scales, out: y },
        groups,
    );
    rec.on_backward(y, &[shortcut, branch], move |rec, dy| {
        if rec.needs_grad(branch) {
            let (d_branch, accumulate) = rec.grad_target(branch);
            assert!(!accumulate, "a branch feeds one connection");
            let constants = residual::Constants { shortcut: false, scaled: true };
            let bindings = residual::Bindings { a: rec.unused(), b: dy, scales, out: d_branch };
            rec.launch(params, constants, bindings, groups);
        }
        rec.add_grad(shortcut, dy);
    });
    y
}
