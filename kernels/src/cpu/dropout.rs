//! Dropout (Srivastava et al. 2014): some values become 0, and the others larger to make up for it. Masks are drawn
//! anew wherever they are needed, forward and backward, and never stored.

use std::array::from_fn;

use super::Value;
use super::parallel::{self, GRAIN, Shared};
use crate::philox::philox4x32_lanes;
use crate::{Step, dropout as plain};

/// Quads that are drawn at a time.
const LANES: usize = 8;
/// Values of so many quads.
const VALUES: usize = 4 * LANES;

/// The masks of one site of the network in one step.
#[derive(Clone, Copy)]
pub struct Masks<'a> {
    /// Whose seed and epoch decide, with the sample and the site.
    pub step: &'a Step,
    /// `[B]`.
    pub sample_ids: &'a [u32],
    /// Each has masks of its own.
    pub site: u32,
    /// Of a random word, below which a value is dropped.
    pub threshold: u32,
    /// Of the values that stay.
    pub factor: f32,
}

impl Masks<'_> {
    /// Factors of the four values of each of a sample's `quads`: of all first ones, then of all second ones, and so on.
    #[inline(always)]
    pub fn factors<const N: usize>(self, sample: usize, quads: [u32; N]) -> [[f32; N]; 4] {
        let Step { seed, epoch, .. } = *self.step;
        let counters = [quads, [self.sample_ids[sample]; N], [epoch; N], [self.site; N]];
        philox4x32_lanes(counters, seed)
            .map(|words| words.map(|word| if word >= self.threshold { self.factor } else { 0.0 }))
    }

    /// Factors of a sample's values from that of number 4·`quad` on, in order.
    #[inline(always)]
    fn row(self, sample: usize, quad: u32) -> [f32; VALUES] {
        let by_place = self.factors::<LANES>(sample, from_fn(|i| quad.wrapping_add(i as u32)));
        from_fn(|i| by_place[i % 4][i / 4])
    }

    /// Drops some of a sample's `values`, the first of which is its value of number 4·`quad`.
    #[inline(always)]
    pub fn drop_some(self, sample: usize, mut quad: u32, values: &mut [f32]) {
        for values in values.chunks_mut(VALUES) {
            for (value, factor) in values.iter_mut().zip(self.row(sample, quad)) {
                *value *= factor;
            }
            quad = quad.wrapping_add(LANES as u32);
        }
    }
}

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
            quad += LANES as u32;
        }
    }
}
