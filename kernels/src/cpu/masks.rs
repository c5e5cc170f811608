//! The masks of dropout (Srivastava et al. 2014), which its twin and attention's have in common. They are drawn anew
//! wherever they are needed, forward and backward, and never stored.

use std::array::from_fn;

use crate::Step;
use crate::philox::philox4x32_lanes;

/// Quads that are drawn at a time.
const LANES: usize = 8;
/// Values of so many quads.
pub const VALUES: usize = 4 * LANES;

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
    /// There are none in builds without the feature, and no code for them.
    #[cfg(not(feature = "dropout"))]
    pub _never: std::convert::Infallible,
}

impl Masks<'_> {
    /// Factors of the four values of each of a sample's `quads`: of all first ones, then of all second ones, and so on.
    #[inline(always)]
    fn factors<const N: usize>(self, sample: usize, quads: [u32; N]) -> [[f32; N]; 4] {
        let Step { seed, epoch, .. } = *self.step;
        let counters = [quads, [self.sample_ids[sample]; N], [epoch; N], [self.site; N]];
        philox4x32_lanes(counters, seed)
            .map(|words| words.map(|word| if word >= self.threshold { self.factor } else { 0.0 }))
    }

    /// Factors of a sample's values from that of number 4·`quad` on, in order.
    #[inline(always)]
    pub fn row(self, sample: usize, quad: u32) -> [f32; VALUES] {
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
