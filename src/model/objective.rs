//! The masked objective of one batch: masks, network and loss, as every program of the masked
//! autoencoder records it.

use super::mae::{Decoded, Forward, decode, encode};
use crate::config::ModelConfig;
use crate::ops::optim::STEP_WORDS;
use crate::ops::{Images, masked_loss, noise};
use crate::program::{Recorder, Tensor};

/// Where a batch's masks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskSource {
    /// Drawn on the device from the step's seed and epoch and the samples' numbers.
    Generated,
    /// The caller's noise `[B, L]`.
    Given,
}

/// What a recorded objective yields.
#[derive(Debug, Clone)]
pub struct Objective {
    /// The encoder's part.
    pub encoded: Forward,
    /// The decoder's part.
    pub decoded: Decoded,
    /// Mean squared error of each token's patch `[B, T]`; 0 without a target.
    pub patch_loss: Tensor,
    /// `[1]`, which the batch's loss is added to.
    pub loss: Tensor,
}

/// Records masks, network and loss of `batch` images. Inputs are the external buffers `images`
/// `[B, C, H, W]`, and `noise` `[B, L]` or `step` and `sample_ids` `[B]`; the loss, divided by the
/// number of `accumulated` batches, is added to the external buffer `loss`.
pub fn masked_objective(
    rec: &mut Recorder,
    config: &ModelConfig,
    batch: usize,
    masks: MaskSource,
    accumulated: usize,
) -> Objective {
    let [h, w] = config.image_size;
    let pixels = rec.external("images", [batch, config.channels, h, w]);
    let noise_values = match masks {
        MaskSource::Given => rec.external("noise", [batch, config.num_patches()]),
        MaskSource::Generated => {
            rec.set_scope("mask");
            let step = rec.external("step", [STEP_WORDS]);
            let sample_ids = rec.external("sample_ids", [batch]);
            noise(rec, config, step, sample_ids)
        }
    };
    let encoded = encode(rec, config, pixels, noise_values);
    let decoded = decode(rec, config, &encoded);
    rec.set_scope("loss");
    let loss = rec.external("loss", [1]);
    let images = Images { pixels, accumulated };
    let patch_loss = masked_loss(rec, config, images, decoded.target, decoded.pred, loss);
    Objective { encoded, decoded, patch_loss, loss }
}
