//! The masked objective of one batch: masks, network and loss, as every program of the masked
//! autoencoder records it.

use super::drops::Drops;
use super::mae::{Decoded, Forward, decode, encode};
use crate::config::{ModelConfig, PatchTarget};
use crate::kernels::Precision;
use crate::ops::optimizer::STEP_WORDS;
use crate::ops::{
    Flatten, Target, Truth, argmax, combine, cross_entropy, gather_labels, gather_rows, linear,
    masked_loss, noise, patchify,
};
use crate::program::{Recorder, Tensor};

/// Where a batch's masks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskSource {
    /// Drawn on the device from the step's seed and epoch and the samples' numbers.
    Generated,
    /// The caller's noise `[B, L]`.
    Given,
}

/// What an objective is recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A step on so many accumulated batches, by whose number the loss is divided. Values are dropped, if the model
    /// drops any.
    Training {
        /// How many.
        accumulated: usize,
    },
    /// Its loss, or what is predicted.
    Evaluation,
}

/// What a recorded objective yields.
#[derive(Debug, Clone)]
pub struct Objective {
    /// The encoder's part.
    pub encoded: Forward,
    /// The decoder's part.
    pub decoded: Decoded,
    /// Error of each token's patch `[B, T]`, mean squared or cross entropy; 0 without a target.
    pub patch_loss: Tensor,
    /// `[1]`, which the batch's loss is added to.
    pub loss: Tensor,
}

/// Records masks, network and loss of `batch` images. Inputs are the external buffers `images`
/// `[B, C, H, W]`, and `noise` `[B, L]` or `step` and `sample_ids` `[B]`, which dropout reads as well; for
/// [`PatchTarget::Tokens`] also `tokens` `[B, L]`. The loss is added to the external buffer `loss`.
pub fn masked_objective(
    rec: &mut Recorder,
    config: &ModelConfig,
    batch: usize,
    masks: MaskSource,
    purpose: Purpose,
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
    let (drops, accumulated) = match purpose {
        // vit-pytorch's autoencoder goes past the dropout behind its encoder's embedding.
        Purpose::Training { accumulated } => {
            (Drops::default().with_values(rec, config.dropout, batch), accumulated)
        }
        Purpose::Evaluation => (Drops::default(), 1),
    };
    let encoded = encode(rec, config, pixels, noise_values, drops);
    let decoded = decode(rec, config, &encoded);
    rec.set_scope("loss");
    let loss = rec.external("loss", [1]);
    let patch_loss = target_loss(rec, config, [pixels, loss], &decoded, accumulated);
    Objective { encoded, decoded, patch_loss, loss }
}

/// Adds the loss against `config`'s kind of target, and returns it for each token.
fn target_loss(
    rec: &mut Recorder,
    config: &ModelConfig,
    [pixels, loss]: [Tensor; 2],
    decoded: &Decoded,
    accumulated: usize,
) -> Tensor {
    let &Decoded { target, pred, .. } = decoded;
    let batch = rec.shape(pred)[0];
    let labels = match config.target {
        PatchTarget::Pixels => {
            let truth = Truth { values: pixels, accumulated };
            return masked_loss(rec, config, truth, target, pred, loss);
        }
        PatchTarget::Pca { .. } => {
            let values = scores(rec, config, pixels, "target.basis");
            let truth = Truth { values, accumulated };
            return masked_loss(rec, config, truth, target, pred, loss);
        }
        PatchTarget::Codebook { .. } => {
            // The nearest entry c of a patch x has the largest x·c − |c|²/2.
            let scores = scores(rec, config, pixels, "target.codebook");
            argmax(rec, scores)
        }
        PatchTarget::Tokens { .. } => rec.external("tokens", [batch, config.num_patches()]),
    };
    let labels = gather_labels(rec, target, labels);
    let masked = batch * config.num_masked() * accumulated;
    cross_entropy(rec, pred, Target::Labels { labels, smoothing: 0.0 }, masked, loss)
}

/// Products of every patch of `pixels` with the rows of the fixed parameter `table`, plus the target's
/// bias: `[B, L, rows]`.
fn scores(rec: &mut Recorder, config: &ModelConfig, pixels: Tensor, table: &str) -> Tensor {
    // Targets are exact.
    let patches = patchify(rec, config, pixels, Flatten::ChannelLast, Precision::F32, None);
    let (table, bias) = (rec.param(table), rec.param("target.bias"));
    linear(rec, patches, table, Some(bias))
}

/// What is predicted, as pixels `[.., P]` (row, column, channel): recorded from `pred [.., P']`.
///
/// # Panics
/// If given tokens are predicted, which have no pixels.
pub fn predicted_pixels(rec: &mut Recorder, config: &ModelConfig, pred: Tensor) -> Tensor {
    match config.target {
        PatchTarget::Pixels => pred,
        PatchTarget::Pca { .. } => {
            let (basis, mean) = (rec.param("target.basis"), rec.param("target.mean"));
            combine(rec, pred, basis, mean)
        }
        PatchTarget::Codebook { .. } => {
            let ids = argmax(rec, pred);
            let codebook = rec.param("target.codebook");
            gather_rows(rec, codebook, ids)
        }
        PatchTarget::Tokens { .. } => panic!("tokens of another model have no pixels"),
    }
}
