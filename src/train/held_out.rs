//! The held-out loss: a fixed set, fixed crops, fixed masks.

use std::sync::Arc;

use super::recipe::Recipe;
use super::step::{EvalStep, MaskSource};
use super::trainer::data;
use crate::config::ModelConfig;
use crate::data::{Batch, ImageSource, Normalization, Skipped, fixed_batch};
use crate::error::Result;
use crate::kernels::Precision;
use crate::model::store::ParamStore;
use crate::ops::optimizer::{STEP_WORDS, Scalars};
use crate::ops::{argsort, noise};
use crate::program::{Buffers, Device, Program, Recorder};
use crate::report::views::Geometry;

/// Epoch number of fixed masks, which no training epoch reaches.
pub const FIXED_EPOCH: u32 = u32::MAX;

/// Batches that are measured again and again.
pub struct HeldOut {
    step: EvalStep,
    scalars: Scalars,
    batches: Vec<Batch>,
    skipped: Vec<Skipped>,
}

impl HeldOut {
    /// Reads the pictures `indices` of `source`, in batches of at most the recipe's. A rest that does not
    /// fill a batch is left out, unless it is all there is.
    ///
    /// # Errors
    /// If no picture can be read, or the device has not enough memory.
    pub fn new(
        device: &Device,
        recipe: &Recipe,
        store: &ParamStore,
        source: &Arc<dyn ImageSource>,
        normalization: &Normalization,
        indices: &[u32],
    ) -> Result<Self> {
        let model = &recipe.model;
        let batch_size = recipe.batch_size.min(indices.len());
        let masks = MaskSource::Generated;
        let step = EvalStep::new(device, model, masks, batch_size, store, Precision::F32)?;
        let (mut batches, mut skipped) = (Vec::new(), Vec::new());
        for indices in indices.chunks_exact(batch_size) {
            let (batch, bad) = fixed_batch(source, normalization, model.image_size, indices)?;
            batches.push(batch);
            skipped.extend(bad);
        }
        let scalars = Scalars { epoch: FIXED_EPOCH, ..Scalars::seeded(recipe.seed) };
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
    pub async fn mean_color_loss(&self, device: &Device, config: &ModelConfig) -> Result<f64> {
        let masks = mask_program(device, config, self.batches[0].len())?;
        let mut sum = 0.0;
        for batch in &self.batches {
            masks.write("step", &[self.scalars]);
            masks.write("sample_ids", &batch.draw_ids);
            masks.submit();
            let restore: Vec<u32> = masks.read("ids_restore").await?;
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

/// The masks of a batch alone, without the network: each patch's rank in `ids_restore`.
fn mask_program(device: &Device, config: &ModelConfig, batch: usize) -> Result<Program> {
    let mut rec = Recorder::new(device.target(), false);
    let step = rec.external("step", [STEP_WORDS]);
    let sample_ids = rec.external("sample_ids", [batch]);
    let noise = noise(&mut rec, config, step, sample_ids);
    let ids = argsort(&mut rec, noise);
    rec.keep(ids.restore, "ids_restore");
    Program::build(device, &rec, &Buffers::new())
}

fn flat_color_loss(config: &ModelConfig, image: &[f32], restore: &[u32]) -> Result<f64> {
    let geometry = Geometry::from(config);
    let (channels, patch_dim) = (config.channels, config.patch_dim());
    let mut patches = geometry.patchify(image)?;
    let mut means = vec![0.0; channels];
    if config.norm_pix_loss {
        // A normalised patch has mean 0.
        patches = geometry.normalise(&patches)?;
    } else {
        let plane = image.len() / channels;
        for (mean, channel) in means.iter_mut().zip(image.chunks_exact(plane)) {
            *mean = channel.iter().map(|&x| f64::from(x)).sum::<f64>() / plane as f64;
        }
    }
    let masked =
        patches.chunks_exact(patch_dim).zip(restore).filter(|&(_, &r)| config.is_masked(r));
    let squares = masked.flat_map(|(patch, _)| {
        let means = &means;
        patch.iter().enumerate().map(move |(i, &x)| (f64::from(x) - means[i % channels]).powi(2))
    });
    Ok(squares.sum::<f64>() / (config.num_masked() * patch_dim) as f64)
}
