//! What a run measures and shows besides its training loss: reconstructions in pre-training, accuracy in
//! training with labels.

use pollster::block_on;

use super::evaluate::LabelledData;
use super::held_out::HeldOut;
use super::recipe::Recipe;
use super::step::MaskSource;
use crate::config::{ModelConfig, PatchTarget};
use crate::data::{Batch, Normalization, Skipped, Split, fixed_batch, fixed_indices};
use crate::error::Result;
use crate::model::predict::Predictor;
use crate::model::reconstruct::Reconstructor;
use crate::model::store::ParamStore;
use crate::program::Device;
use crate::report::Picture;
use crate::report::confusion::Confusion;
use crate::report::grid::{RECONSTRUCTION_CAPTIONS, draw, reconstruction_row};
use crate::report::views::{Geometry, View};

/// What was measured on held-out pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Loss.
    pub loss: f64,
    /// Share of pictures classified correctly.
    pub accuracy: Option<f64>,
}

/// Measures the parameters as they are.
pub trait Assessment {
    /// Number of held-out pictures.
    fn len(&self) -> usize;

    /// Measures the held-out pictures.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn measure(&mut self) -> Result<Measured>;

    /// The picture to look at, if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn picture(&mut self) -> Result<Option<Picture>>;

    /// Name of that picture's file.
    fn picture_name(&self) -> &'static str;
}

/// Pre-training: the loss on fixed pictures with fixed masks, and what is made of some of them.
pub struct MaskedAssessment {
    model: ModelConfig,
    seed: u64,
    normalization: Normalization,
    held_out: HeldOut,
    /// None where predictions are no pixels.
    reconstructor: Option<Reconstructor>,
    pictures: Batch,
    skipped: Vec<Skipped>,
}

impl MaskedAssessment {
    /// For the parameters in `store` and held-out pictures of `split`.
    ///
    /// # Errors
    /// If no picture can be read, or the device has not enough memory.
    pub fn new(
        device: &Device,
        recipe: &Recipe,
        store: &ParamStore,
        split: &Split,
        normalization: &Normalization,
    ) -> Result<Self> {
        let (model, source) = (&recipe.model, &split.held_out);
        let indices = fixed_indices(source.len(), recipe.data.held_out_images, recipe.seed);
        let held_out = HeldOut::new(device, recipe, store, source, normalization, &indices)?;
        let shown = indices.len().min(recipe.data.pictures.max(1));
        let (pictures, bad) =
            fixed_batch(source, normalization, model.image_size, &indices[..shown])?;
        let skipped = held_out.skipped().iter().cloned().chain(bad).collect();
        let reconstructor = match model.target {
            PatchTarget::Tokens { .. } => None,
            _ => Some(Reconstructor::new(device, model, shown, store, MaskSource::Generated)?),
        };
        Ok(Self {
            model: model.clone(),
            seed: recipe.seed,
            normalization: normalization.clone(),
            held_out,
            reconstructor,
            pictures,
            skipped,
        })
    }

    /// Held-out pictures that could not be read and were replaced.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The loss of predicting each picture's mean colour, where pixels are predicted.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub fn mean_color_loss(&self, device: &Device) -> Result<Option<f64>> {
        if !self.model.target.is_pixels() {
            return Ok(None);
        }
        block_on(self.held_out.mean_color_loss(device, &self.model)).map(Some)
    }
}

impl Assessment for MaskedAssessment {
    fn len(&self) -> usize {
        self.held_out.len()
    }

    fn measure(&mut self) -> Result<Measured> {
        Ok(Measured { loss: block_on(self.held_out.loss())?, accuracy: None })
    }

    /// Fixed images with fixed masks: original, masked, reconstruction, with visible patches.
    fn picture(&mut self) -> Result<Option<Picture>> {
        let Some(reconstructor) = &self.reconstructor else { return Ok(None) };
        let model = &self.model;
        let geometry = Geometry::from(model);
        let Normalization { mean, std } = &self.normalization;
        let batch = &self.pictures;
        let results =
            block_on(reconstructor.run(&batch.images, self.seed, &batch.sample_ids, &[]))?;
        // Where pixels are normalised per patch, the view that does not use the answer.
        let view = if model.norm_pix_loss { View::VisibleStatistics } else { View::Raw };
        let mut rows = Vec::new();
        for (image, result) in batch.images.chunks_exact(model.image_len()).zip(&results) {
            let patches = geometry.patchify(image)?;
            let predicted = geometry.view(view, &result.predicted, &patches, &result.mask)?;
            let row = reconstruction_row(&geometry, image, &predicted, &result.mask, mean, std)?;
            rows.push(row);
        }
        draw(&RECONSTRUCTION_CAPTIONS, &rows).map(Some)
    }

    fn picture_name(&self) -> &'static str {
        "reconstructions"
    }
}

/// Training with labels: loss and accuracy on held-out pictures, and which classes are confused.
pub struct ClassifierAssessment {
    predictor: Predictor,
    data: LabelledData,
    class_names: Vec<String>,
    confusion: Option<Confusion>,
}

impl ClassifierAssessment {
    /// Of `predictor` on `data`.
    pub fn new(predictor: Predictor, data: LabelledData, class_names: Vec<String>) -> Self {
        Self { predictor, data, class_names, confusion: None }
    }
}

impl Assessment for ClassifierAssessment {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn measure(&mut self) -> Result<Measured> {
        let result = self.data.evaluate(&self.predictor, &self.class_names, &mut |_| {})?;
        self.confusion = Some(result.confusion);
        Ok(Measured { loss: result.loss, accuracy: Some(result.top1) })
    }

    /// The confusion matrix of the last measurement.
    fn picture(&mut self) -> Result<Option<Picture>> {
        self.confusion.as_ref().map(Confusion::picture).transpose()
    }

    fn picture_name(&self) -> &'static str {
        "confusion"
    }
}
