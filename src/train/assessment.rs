//! What a run measures and shows besides its training loss: reconstructions in pre-training, accuracy in
//! training with labels.

use pollster::block_on;

use super::evaluate::{Evaluation, LabelledData};
use super::held_out::{HeldOut, Score};
use super::recipe::Recipe;
use crate::data::{Normalization, Skipped, Split, fixed_indices};
use crate::error::Result;
use crate::model::predict::Predictor;
use crate::model::reconstruct::Reconstruction;
use crate::model::store::ParamStore;
use crate::program::Device;
use crate::report::Picture;
use crate::report::accuracy::Accuracy;
use crate::report::confusion::Confusion;
use crate::report::fidelity::Fidelity;
use crate::report::grid::{RECONSTRUCTION_CAPTIONS, draw, reconstruction_row};

/// What was measured on held-out pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Loss.
    pub loss: f64,
    /// Pictures classified correctly.
    pub accuracy: Option<Accuracy>,
    /// How close predicted pixels are, where pixels are predicted.
    pub fidelity: Option<Fidelity>,
    /// Pictures for which the network yields what is not finite. With any, the loss means nothing, and nothing else is
    /// measured.
    pub meaningless: usize,
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

    /// The picture to look at, if there is one that means something.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    fn picture(&mut self) -> Result<Option<Picture>>;

    /// Name of that picture's file.
    fn picture_name(&self) -> &'static str;
}

/// Pre-training: the loss on fixed pictures with fixed masks, and what is made of some of them.
pub struct MaskedAssessment {
    held_out: HeldOut,
    /// Pictures that are drawn.
    pictures: usize,
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
        let source = &split.held_out;
        let indices = fixed_indices(source.len(), recipe.data.held_out_images, recipe.seed);
        let held_out = HeldOut::new(device, recipe, store, source, normalization, &indices)?;
        Ok(Self { held_out, pictures: recipe.data.pictures.max(1) })
    }

    /// Held-out pictures that could not be read and were replaced.
    pub fn skipped(&self) -> &[Skipped] {
        self.held_out.skipped()
    }
}

impl Assessment for MaskedAssessment {
    fn len(&self) -> usize {
        self.held_out.len()
    }

    fn measure(&mut self) -> Result<Measured> {
        let Score { loss, fidelity, meaningless } = block_on(self.held_out.score())?;
        Ok(Measured { loss, accuracy: None, fidelity, meaningless })
    }

    /// The first of the measured pictures, under the masks that they are measured with.
    fn picture(&mut self) -> Result<Option<Picture>> {
        let held_out = &self.held_out;
        let row = |(image, result): &(&[f32], Reconstruction)| {
            let picture = held_out.masked(image, &result.mask)?;
            let shown = picture.reconstruction(held_out.view(), &result.predicted)?;
            reconstruction_row(&picture, &[shown])
        };
        let shown = block_on(held_out.shown(self.pictures))?;
        if shown.is_empty() || shown.iter().any(|(_, result)| !result.is_meaningful()) {
            return Ok(None);
        }
        let rows = shown.iter().map(row).collect::<Result<Vec<_>>>()?;
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
        let Evaluation { loss, top1, confusion, meaningless, .. } =
            self.data.evaluate(&self.predictor, &self.class_names, &mut |_| {})?;
        let means_something = meaningless == 0;
        self.confusion = means_something.then_some(confusion);
        let accuracy = means_something.then_some(top1);
        Ok(Measured { loss, accuracy, fidelity: None, meaningless })
    }

    /// The confusion matrix of the last measurement.
    fn picture(&mut self) -> Result<Option<Picture>> {
        self.confusion.as_ref().map(Confusion::picture).transpose()
    }

    fn picture_name(&self) -> &'static str {
        "confusion"
    }
}
