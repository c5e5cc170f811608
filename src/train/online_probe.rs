//! A linear probe that learns beside pre-training: it sees the encoder as it is at any time, and leaves no
//! gradient in it.

use super::assessment::{Assessment, ClassifierAssessment, Measured};
use super::checkpoint::Checkpoint;
use super::evaluate::LabelledData;
use super::feed::Feed;
use super::inputs::{measured_pictures, open_labelled, open_loader};
use super::labels::Labelled;
use super::recipe::{ProbeRecipe, Recipe};
use super::same_data::Pictures;
use super::schedule::Schedule;
use super::staged_feed::StagedFeed;
use super::trainer::{Beginning, Trainer};
use crate::data::{Cursor, Normalization};
use crate::error::Result;
use crate::model::classify::Input;
use crate::model::predict::Predictor;
use crate::model::store::ParamStore;
use crate::program::Device;
use crate::setting::Setting;
use crate::tensor::TensorMap;

/// The probe of a run.
pub struct OnlineProbe {
    every: u64,
    schedule: Schedule,
    normalization: Normalization,
    trainer: Trainer,
    feed: StagedFeed,
    assessment: ClassifierAssessment,
    pictures: Pictures,
    notes: Vec<String>,
}

impl OnlineProbe {
    /// The probe that `run` asks for, on the encoder in `base`, from its own part of the run's checkpoint
    /// on if there is one. `run_schedule` is that of pre-training, whose steps the probe follows.
    ///
    /// # Errors
    /// If its pictures have no classes or cannot be read, or the device has not enough memory.
    pub fn new(
        device: &Device,
        run: &Recipe,
        probe: &ProbeRecipe,
        base: &ParamStore,
        normalization: &Normalization,
        run_schedule: Schedule,
        resumed: Option<&Checkpoint>,
    ) -> Result<Self> {
        let recipe = run.probe_recipe(probe);
        let classify = recipe.classify.as_ref().expect("a probe has classes");
        let Labelled { split, mut notes } = open_labelled(&recipe, classify)?;
        let pictures = Pictures::of(&split);
        notes.extend(pictures.changes(resumed, recipe.data.strict, Setting::ProbeData)?);
        let cursor = resumed.map_or(Cursor::default(), |checkpoint| checkpoint.meta.cursor);
        let loader = open_loader(&recipe, &split, normalization, cursor)?;
        let given = TensorMap::new();
        let beginning = resumed.map_or(Beginning::Fresh(&given), Beginning::Resumed);
        let trainer = Trainer::on_top(device, &recipe, base, beginning)?;
        let feed = Feed::Pictures(loader);
        let feed = StagedFeed::start(device, feed, trainer.train_step().image_bytes())?;
        let config = classify.config(&recipe.model);
        let predictor =
            Predictor::new(device, &config, Input::Images, recipe.batch_size, trainer.store())?;
        let data = LabelledData::Pictures {
            source: measured_pictures(&recipe, &split)?,
            normalization: normalization.clone(),
            image_size: recipe.model.image_size,
        };
        Ok(Self {
            every: probe.every.max(1),
            // The encoder moves all the time, so the probe never comes to rest either.
            schedule: Schedule { lr: recipe.peak_lr(), min_lr: recipe.peak_lr(), ..run_schedule },
            normalization: normalization.clone(),
            trainer,
            feed,
            assessment: ClassifierAssessment::new(predictor, data, classify.class_names.clone()),
            pictures,
            notes,
        })
    }

    /// What was decided about its pictures.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Learns from one batch, if it is due after `step` steps of pre-training.
    ///
    /// # Errors
    /// If its pictures cannot be read.
    pub fn follow(&mut self, step: u64) -> Result<()> {
        if !step.is_multiple_of(self.every) {
            return Ok(());
        }
        let batch = self.feed.next_batch()?;
        self.trainer.run_staged(0, self.schedule.at(step) as f32, batch);
        Ok(())
    }

    /// Measures it on its held-out pictures as it is now.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub fn measure(&mut self) -> Result<Measured> {
        self.assessment.measure()
    }

    /// Number of its held-out pictures.
    pub fn held_out_images(&self) -> usize {
        self.assessment.len()
    }

    /// Everything that the probe needs to go on.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn checkpoint(&self, seconds: f64) -> Result<Checkpoint> {
        let Self { trainer, normalization, feed, .. } = self;
        let mut checkpoint = trainer.checkpoint(normalization, feed.cursor(), seconds).await?;
        self.pictures.describe(&mut checkpoint.meta);
        Ok(checkpoint)
    }
}
