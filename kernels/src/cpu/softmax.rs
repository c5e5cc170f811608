//! Softmax over the last dimension.

use multiversion::target::target_cfg_f;

use super::Value;
use super::math::exp;
use super::parallel::{self, Shared};
use super::vector::{max, sum, sum2};
use crate::{softmax as forward, softmax_backward};

/// `y = softmax(x)`, by rows.
pub fn softmax<A: Value>(
    params: &forward::Params,
    _: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let y = Shared::new(slices.y);
    parallel::ranges(rows, parallel::rows_per_task(dim), |rows| {
        let range = rows.start * dim..rows.end * dim;
        // SAFETY: a row belongs to one task.
        let y = unsafe { y.part(range.start, range.len()) };
        softmax_rows(&slices.x[range], dim, y);
    });
}

vectorised! {
    fn softmax_rows<A: Value>(x: &[A], dim: usize, y: &mut [A]) {
        const FUSED: bool = target_cfg_f!(target_feature = "fma");
        for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)) {
            let maximum = max(x, -3.0e38);
            let scale = 1.0 / sum(x, |x| exp::<FUSED>(x - maximum));
            for (y, x) in y.iter_mut().zip(x) {
                *y = A::of(exp::<FUSED>(x.get() - maximum) * scale);
            }
        }
    }
}

/// `dx = y·(dy − Σ dy·y)`, by rows.
pub fn softmax_backward<A: Value>(
    params: &softmax_backward::Params,
    _: &softmax_backward::Constants,
    slices: softmax_backward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let dx = Shared::new(slices.dx);
    parallel::ranges(rows, parallel::rows_per_task(dim), |rows| {
        let range = rows.start * dim..rows.end * dim;
        // SAFETY: a row belongs to one task.
        let dx = unsafe { dx.part(range.start, range.len()) };
        backward_rows(&slices.dy[range.clone()], &slices.y[range], dim, dx);
    });
}

vectorised! {
    fn backward_rows<A: Value>(dy: &[A], y: &[A], dim: usize, dx: &mut [A]) {
        let rows = dy.chunks_exact(dim).zip(y.chunks_exact(dim)).zip(dx.chunks_exact_mut(dim));
        for ((dy, y), dx) in rows {
            let dot = sum2(dy, y, |dy, y| dy * y);
            for ((dx, dy), y) in dx.iter_mut().zip(dy).zip(y) {
                *dx = A::of(y.get() * (dy.get() - dot));
            }
        }
    }
}
