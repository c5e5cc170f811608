//! The held-out loss, and how good the predicted pixels are: a fixed set, fixed crops, fixed masks.

use std::sync::Arc;

use rayon::prelude::*;

use super::recipe::Recipe;
use super::step::{EvalStep, MaskSource};
use super::trainer::data;
use crate::config::{ModelConfig, PatchTarget};
use crate::data::{Batch, ImageSource, Normalization, Skipped, fixed_batch};
use crate::error::Result;
use crate::geometry::Geometry;
use crate::kernels::Precision;
use crate::model::reconstruct::{Reconstruction, Reconstructor};
use crate::model::store::ParamStore;
use crate::ops::optimizer::Scalars;
use crate::program::Device;
use crate::report::fidelity::{Fidelity, HiddenError};
use crate::report::masked_picture::MaskedPicture;
use crate::report::views::View;

/// Epoch number of fixed masks, which no training epoch reaches.
pub const FIXED_EPOCH: u32 = u32::MAX;

/// Batches that are measured again and again.
pub struct HeldOut {
    forward: Pass,
    model: ModelConfig,
    normalization: Normalization,
    scalars: Scalars,
    batches: Vec<Batch>,
    skipped: Vec<Skipped>,
    /// Errors of harmonic filling and of the mean colour, which training does not change, once measured.
    baselines: Option<[HiddenError; 2]>,
}

/// What is run of the network.
enum Pass {
    /// Loss and predicted pixels.
    Pixels(Reconstructor),
    /// The loss alone: what is predicted are no pixels.
    Tokens(EvalStep),
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The loss.
    pub loss: f64,
    /// Of the predicted pixels, beside what needs no model.
    pub fidelity: Option<Fidelity>,
    /// Pictures for which predictions or losses are not finite; with any there is no fidelity.
    pub meaningless: usize,
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
        let forward = match model.target {
            PatchTarget::Tokens { .. } => {
                let precision = Precision::F32;
                Pass::Tokens(EvalStep::new(device, model, masks, batch_size, store, precision)?)
            }
            _ => Pass::Pixels(Reconstructor::new(device, model, batch_size, store, masks)?),
        };
        let (mut batches, mut skipped) = (Vec::new(), Vec::new());
        for indices in indices.chunks_exact(batch_size) {
            let (batch, bad) = fixed_batch(source, normalization, model.image_size, indices)?;
            batches.push(batch);
            skipped.extend(bad);
        }
        let scalars = Scalars { epoch: FIXED_EPOCH, ..Scalars::seeded(recipe.seed) };
        let (model, normalization) = (model.clone(), normalization.clone());
        Ok(Self { forward, model, normalization, scalars, batches, skipped, baselines: None })
    }

    /// Pictures that could not be read and were replaced.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Number of pictures measured.
    pub fn len(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    /// Measures the parameters as they are.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn score(&mut self) -> Result<Score> {
        let (mut loss, mut meaningless) = (0.0, 0);
        let mut errors = Vec::new();
        for batch in &self.batches {
            loss += match &self.forward {
                Pass::Tokens(step) => {
                    let loss = f64::from(step.run(self.scalars, data(batch)).await?);
                    meaningless += if loss.is_finite() { 0 } else { batch.len() };
                    loss
                }
                Pass::Pixels(reconstructor) => {
                    let results = self.reconstruct(reconstructor, batch).await?;
                    meaningless += results.iter().filter(|result| !result.is_meaningful()).count();
                    errors.extend(self.errors(batch, &results)?);
                    let losses = results.iter().map(|result| f64::from(result.loss));
                    losses.sum::<f64>() / batch.len() as f64
                }
            };
        }
        let pooled = |which: usize| -> HiddenError { errors.iter().map(|each| each[which]).sum() };
        let baselines = *self.baselines.get_or_insert_with(|| [pooled(1), pooled(2)]);
        let model = pooled(0).psnr().filter(|_| meaningless == 0);
        let fidelity = model.map(|model| {
            let [harmonic, mean_color] =
                baselines.map(|error| error.psnr().expect("the same mask"));
            Fidelity { model, harmonic, mean_color }
        });
        Ok(Score { loss: loss / self.batches.len() as f64, fidelity, meaningless })
    }

    /// The first `count` pictures, with what is made of them if it can be looked at.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn shown(&self, count: usize) -> Result<Vec<(&[f32], Reconstruction)>> {
        let mut shown = Vec::new();
        if let Pass::Pixels(reconstructor) = &self.forward {
            for batch in self.batches.iter().take(count.div_ceil(self.batches[0].len())) {
                let results = self.reconstruct(reconstructor, batch).await?;
                shown.extend(batch.images.chunks_exact(self.model.image_len()).zip(results));
            }
        }
        shown.truncate(count);
        Ok(shown)
    }

    /// One of the pictures under its mask.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if a length does not fit.
    pub fn masked<'a>(&'a self, image: &[f32], mask: &'a [bool]) -> Result<MaskedPicture<'a>> {
        let Normalization { mean, std } = &self.normalization;
        MaskedPicture::new(Geometry::from(&self.model), image, mask, mean, std)
    }

    /// How predictions become pixels: no view that uses hidden ones.
    pub fn view(&self) -> View {
        View::honest(self.model.norm_pix_loss)
    }

    async fn reconstruct(
        &self,
        reconstructor: &Reconstructor,
        batch: &Batch,
    ) -> Result<Vec<Reconstruction>> {
        reconstructor.run(&batch.images, self.scalars, &batch.draw_ids, &[]).await
    }

    /// Of each picture the errors of model, harmonic filling and mean colour; of the last two only if they
    /// are not known yet.
    fn errors(&self, batch: &Batch, results: &[Reconstruction]) -> Result<Vec<[HiddenError; 3]>> {
        let measure = |(image, result): (&[f32], &Reconstruction)| {
            let picture = self.masked(image, &result.mask)?;
            let model = picture.error(&picture.reconstruction(self.view(), &result.predicted)?);
            let [harmonic, mean_color] = match self.baselines {
                Some(_) => [HiddenError::default(); 2],
                None => [picture.error(picture.harmonic()), picture.error(&picture.mean_color())],
            };
            Ok([model, harmonic, mean_color])
        };
        let images = batch.images.par_chunks_exact(self.model.image_len());
        images.zip(results).map(measure).collect()
    }
}
