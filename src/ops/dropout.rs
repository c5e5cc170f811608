//! Dropout (Srivastava et al. 2014): in training some values become 0, and the others larger to make up for it.

use super::groups_of_lanes;
use crate::kernels::dropout;
use crate::program::{Recorder, Tensor};

/// The sites' word of the random counters begins here, where no mask of patches draws.
const DROPOUT: u32 = 0x0D20_9007;

/// Which values are dropped: a function of the step's seed and epoch, each sample's number and the site alone. Masks
/// are drawn anew wherever they are needed, forward and backward, and never stored.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share of values that become 0, in [0, 1).
    pub rate: f64,
    /// The scalars of the step.
    pub step: Tensor,
    /// `[B]`: number of each sample.
    pub sample_ids: Tensor,
    /// Which place of the network; each has masks of its own.
    pub site: u32,
    /// There is no dropout in builds without the feature, and no code for it.
    #[cfg(not(feature = "dropout"))]
    pub never: std::convert::Infallible,
}

impl Dropout {
    /// The same at the place that lies `sites` behind this one.
    pub fn further(self, sites: usize) -> Self {
        Self { site: self.site + sites as u32, ..self }
    }

    /// The site, the word below which a value is dropped, and the factor of others, as kernels take them.
    pub(super) fn numbers(self) -> (u32, u32, f32) {
        // Below 2³² as long as the rate is below 1 in f32.
        let threshold = (self.rate * 2.0_f64.powi(32)) as u32;
        (DROPOUT + self.site, threshold, (1.0 / (1.0 - self.rate)) as f32)
    }
}

/// `x [B, ..]` with some values of every sample dropped.
pub fn dropout(rec: &mut Recorder, x: Tensor, dropout: Dropout) -> Tensor {
    let y = drop_some(rec, x, dropout);
    rec.on_backward(y, &[x], move |rec, dy| {
        let dx = drop_some(rec, dy, dropout);
        rec.add_grad(x, dx);
    });
    y
}

/// `x` times the factors of its values: forward, and backward for gradients.
pub(super) fn drop_some(rec: &mut Recorder, x: Tensor, dropout: Dropout) -> Tensor {
    let Dropout { step, sample_ids, .. } = dropout;
    let batch = rec.len(sample_ids);
    let per_sample = rec.len(x) / batch;
    let quads = per_sample.div_ceil(4);
    let (site, threshold, factor) = dropout.numbers();
    let params = dropout::Params {
        per_sample: per_sample as u32,
        quads: quads as u32,
        count: (batch * quads) as u32,
        site,
        threshold,
        factor,
    };
    let constants = dropout::Constants { scalar: !per_sample.is_multiple_of(4) };
    let out = rec.transient_like(x, "dropout", rec.shape(x).to_vec());
    let bindings = dropout::Bindings { step, sample_ids, x, out };
    rec.launch(params, constants, bindings, groups_of_lanes(batch * quads));
    out
}
