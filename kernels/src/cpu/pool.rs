//! Means over tokens.

use super::Value;
use super::parallel::{self, Scratch, Shared};
use crate::{mean_pool as forward, mean_pool_backward};

/// Mean over a range of tokens: one token (cls) or all patches.
pub fn mean_pool<A: Value>(
    params: &forward::Params,
    _: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let [tokens, first, pooled, dim, count] =
        [params.tokens, params.first, params.pooled, params.dim, params.count]
            .map(|size| size as usize);
    let y = Shared::new(slices.y);
    parallel::each(count / dim, |b| {
        let mut sums = Scratch::new(dim);
        sums.fill(0.0);
        let range = (b * tokens + first) * dim..(b * tokens + first + pooled) * dim;
        for x in slices.x[range].chunks_exact(dim) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x.get();
            }
        }
        // SAFETY: a sample has one task.
        let y = unsafe { y.part(b * dim, dim) };
        for (y, sum) in y.iter_mut().zip(&*sums) {
            *y = A::of(sum / params.pooled as f32);
        }
    });
}

/// Gradient of [`mean_pool`]: shared evenly over the range, zero elsewhere.
pub fn mean_pool_backward<A: Value>(
    params: &mean_pool_backward::Params,
    _: &mean_pool_backward::Constants,
    slices: mean_pool_backward::Slices<'_, A>,
) {
    let [tokens, first, pooled, dim, count] =
        [params.tokens, params.first, params.pooled, params.dim, params.count]
            .map(|size| size as usize);
    let dx = Shared::new(slices.dx);
    parallel::ranges(count / dim, parallel::rows_per_task(dim), |range| {
        for row in range {
            let (b, t) = (row / tokens, row % tokens);
            // SAFETY: a row belongs to one task.
            let dx = unsafe { dx.part(row * dim, dim) };
            if t < first || t >= first + pooled {
                dx.fill(A::of(0.0));
                continue;
            }
            for (dx, dy) in dx.iter_mut().zip(&slices.dy[b * dim..(b + 1) * dim]) {
                *dx = A::of(dy.get() / params.pooled as f32);
            }
        }
    });
}
