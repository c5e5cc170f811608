//! Dropout (Srivastava et al. 2014): some values become 0, and the others larger to make up for it.

use super::Value;
use super::masks::{Masks, VALUES};
use super::parallel::{self, GRAIN, Shared};
use crate::dropout as plain;

/// `out = x` times the masks' factors: the forward pass of dropout, and its gradient.
pub fn dropout<A: Value>(
    params: &plain::Params,
    _: &plain::Constants,
    slices: plain::Slices<'_, A>,
) {
    let &plain::Params { site, threshold, factor, .. } = params;
    let masks = Masks { step: slices.step, sample_ids: slices.sample_ids, site, threshold, factor };
    let per_sample = params.per_sample as usize;
    let tasks = per_sample.div_ceil(GRAIN);
    let out = Shared::new(slices.out);
    parallel::each((params.count / params.quads) as usize * tasks, |i| {
        let (sample, first) = (i / tasks, i % tasks * GRAIN);
        let (start, len) = (sample * per_sample + first, GRAIN.min(per_sample - first));
        // SAFETY: ranges do not overlap.
        let out = unsafe { out.part(start, len) };
        copy_some(masks, sample, first as u32 / 4, &slices.x[start..start + len], out);
    });
}

vectorised! {
    fn copy_some<A: Value>(masks: Masks<'_>, sample: usize, mut quad: u32, x: &[A], out: &mut [A]) {
        for (out, x) in out.chunks_mut(VALUES).zip(x.chunks(VALUES)) {
            for ((out, x), factor) in out.iter_mut().zip(x).zip(masks.row(sample, quad)) {
                *out = A::of(x.get() * factor);
            }
            quad += VALUES as u32 / 4;
        }
    }
}
