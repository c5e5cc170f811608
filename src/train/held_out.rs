//! The held-out loss: a fixed set, fixed crops, fixed masks.

use std::sync::Arc;

use super::step::{BatchData, EvalStep, MaskSource, StepConfig};
use crate::config::ModelConfig;
use crate::data::{Batch, ImageSource, Normalization, Skipped, fixed_batch};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::store::ParamStore;
use crate::ops::optim::Scalars;
use crate::report::views::Geometry;

/// Epoch number of fixed masks, which no training epoch reaches.
pub const FIXED_EPOCH: u32 = u32::MAX;
/// Added to the variance of a patch whose pixels are normalised.
const NORM_PIX_EPS: f64 = 1e-6;

/// Batches that are measured again and again.
pub struct HeldOut {
    step: EvalStep,
    scalars: Scalars,
    batches: Vec<Batch>,
    skipped: Vec<Skipped>,
}

impl HeldOut {
    /// Reads the pictures `indices` of `source`, in batches of at most `config.batch_size`. A rest
    /// that does not fill a batch is left out, unless it is all there is.
    ///
    /// # Errors
    /// If no picture can be read, or the device has not enough memory.
    pub fn new(
        gpu: &Gpu,
        config: &StepConfig,
        store: &ParamStore,
        source: &Arc<dyn ImageSource>,
        normalization: &Normalization,
        indices: &[u32],
        seed: u64,
    ) -> Result<Self> {
        let batch_size = config.batch_size.min(indices.len());
        let config = StepConfig { batch_size, masks: MaskSource::Generated, ..config.clone() };
        let step = EvalStep::new(gpu, &config, store)?;
        let (mut batches, mut skipped) = (Vec::new(), Vec::new());
        for indices in indices.chunks_exact(batch_size) {
            let (batch, bad) =
                fixed_batch(source, normalization, config.model.image_size, indices)?;
            batches.push(batch);
            skipped.extend(bad);
        }
        let scalars = Scalars { seed: words(seed), epoch: FIXED_EPOCH, ..Default::default() };
        Ok(Self { step, scalars, batches, skipped })
    }

    /// Pictures that could not be read and were replaced.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Number of pictures measured.
    pub fn len(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    /// The held-out loss of the parameters as they are.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn loss(&self) -> Result<f64> {
        let mut sum = 0.0;
        for batch in &self.batches {
            sum += f64::from(self.step.run(self.scalars, data(batch)).await?);
        }
        Ok(sum / self.batches.len() as f64)
    }

    /// The loss of predicting each image's mean colour on the same patches. Where targets are
    /// normalised per patch, a patch's own mean is the best flat colour: the target's second moment.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn mean_color_loss(&self, config: &ModelConfig) -> Result<f64> {
        let mut sum = 0.0;
        for batch in &self.batches {
            self.step.run(self.scalars, data(batch)).await?;
            let restore = self.step.ids_restore().await?;
            let per_image = batch.images.chunks_exact(config.image_len());
            let per_batch: f64 = per_image
                .zip(restore.chunks_exact(config.num_patches()))
                .map(|(image, restore)| flat_color_loss(config, image, restore))
                .collect::<Result<Vec<f64>>>()?
                .iter()
                .sum();
            sum += per_batch / batch.len() as f64;
        }
        Ok(sum / self.batches.len() as f64)
    }
}

/// A batch as the step takes it; masks follow the draws.
pub fn data(batch: &Batch) -> BatchData<'_> {
    BatchData { images: &batch.images, sample_ids: &batch.draw_ids, noise: &[] }
}

/// Low and high word of a seed.
pub fn words(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

fn flat_color_loss(config: &ModelConfig, image: &[f32], restore: &[u32]) -> Result<f64> {
    let patches = Geometry::from(config).patchify(image)?;
    let channels = config.channels;
    let plane = image.len() / channels;
    let means: Vec<f64> = image
        .chunks_exact(plane)
        .map(|channel| channel.iter().map(|&x| f64::from(x)).sum::<f64>() / plane as f64)
        .collect();
    let patch_dim = config.patch_dim();
    let is_masked = |rank: u32| {
        let rank = rank as usize;
        if config.variant.masks_smallest() {
            rank < config.num_masked()
        } else {
            rank >= config.len_keep()
        }
    };
    let losses = patches.chunks_exact(patch_dim).zip(restore).filter(|&(_, &r)| is_masked(r)).map(
        |(patch, _)| {
            let squares = |mean: &dyn Fn(usize) -> f64| -> f64 {
                let deviation = |(i, &x): (usize, &f32)| (f64::from(x) - mean(i)).powi(2);
                patch.iter().enumerate().map(deviation).sum::<f64>() / patch_dim as f64
            };
            if config.norm_pix_loss {
                let mean = patch.iter().map(|&x| f64::from(x)).sum::<f64>() / patch_dim as f64;
                let biased = squares(&|_| mean);
                let unbiased = biased * patch_dim as f64 / (patch_dim.max(2) - 1) as f64;
                biased / (unbiased + NORM_PIX_EPS)
            } else {
                squares(&|i| means[i % channels])
            }
        },
    );
    Ok(losses.sum::<f64>() / config.num_masked() as f64)
}
