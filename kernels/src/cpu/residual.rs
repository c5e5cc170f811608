//! Sums of tensors.

use super::Value;
use super::parallel::{self, GRAIN, Shared};
use crate::{add as plain, residual as connection};

/// `out = [a if shortcut] + [scale if scaled]·b`, with one scale per sample: a residual connection.
pub fn residual<A: Value>(
    params: &connection::Params,
    constants: &connection::Constants,
    slices: connection::Slices<'_, A>,
) {
    let out = Shared::new(slices.out);
    let work = |start: usize, len: usize, scale: f32| {
        let b = &slices.b[start..start + len];
        // SAFETY: ranges do not overlap.
        let out = unsafe { out.part(start, len) };
        if constants.shortcut {
            for ((out, a), b) in out.iter_mut().zip(&slices.a[start..start + len]).zip(b) {
                *out = A::of(scale * b.get() + a.get());
            }
        } else {
            for (out, b) in out.iter_mut().zip(b) {
                *out = A::of(scale * b.get());
            }
        }
    };
    let count = params.count as usize;
    if constants.scaled {
        let per_sample = params.per_sample as usize;
        let scales = &slices.scales[params.first as usize..];
        parallel::ranges(count, per_sample, |range| {
            work(range.start, range.len(), scales[range.start / per_sample]);
        });
    } else {
        parallel::ranges(count, GRAIN, |range| work(range.start, range.len(), 1.0));
    }
}

/// `out += x`, for a tensor whose gradient comes from several branches.
pub fn add<A: Value>(params: &plain::Params, _: &plain::Constants, slices: plain::Slices<'_, A>) {
    let out = Shared::new(slices.out);
    parallel::ranges(params.count as usize, GRAIN, |range| {
        // SAFETY: ranges do not overlap.
        let out = unsafe { out.part(range.start, range.len()) };
        for (out, x) in out.iter_mut().zip(&slices.x[range]) {
            *out = A::of(out.get() + x.get());
        }
    });
}
