//! Everything that a run needs before its first step, for each kind of run.

use std::sync::Arc;

use super::assessment::{Assessment, ClassifierAssessment, MaskedAssessment};
use super::checkpoint::Checkpoint;
use super::derived::Derived;
use super::evaluate::LabelledData;
use super::event::Event;
use super::features::{Encoder, Features, extract};
use super::feed::{FeatureFeed, Feed};
use super::inputs::{
    loader_options, measured_pictures, normalization, open_data, open_labelled, open_loader,
};
use super::labels::Labelled;
use super::recipe::{Classify, Recipe};
use super::same_data::Pictures;
use super::target_params::target_params;
use super::trainer::{Beginning, Trainer};
use crate::data::{Cursor, ImageSource, Normalization, Skipped, Split};
use crate::error::Result;
use crate::kernels::STAGING_BUFFERS;
use crate::model::classify::Input;
use crate::model::params::ParamSpec;
use crate::model::predict::Predictor;
use crate::program::{Device, Plan};
use crate::setting::Setting;
use crate::tensor::TensorMap;

/// What a run consists of.
pub struct Prepared {
    /// Parameters, optimiser, programs.
    pub trainer: Trainer,
    /// Batches.
    pub feed: Feed,
    /// What is measured.
    pub assessment: Box<dyn Assessment>,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Which pictures it has.
    pub pictures: Pictures,
    /// Every derived number.
    pub derived: Derived,
    /// Pictures that could not be read.
    pub skipped: Vec<Skipped>,
}

/// Opens the data, builds the programs and loads the parameters: fresh ones except for `given`, or those
/// of `resumed`.
///
/// # Errors
/// What the data, the parameters or the device refuse.
pub fn prepare(
    device: &Device,
    recipe: &Recipe,
    mut given: TensorMap,
    resumed: Option<&Checkpoint>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Prepared> {
    let Labelled { split, mut notes } = match &recipe.classify {
        Some(classify) => open_labelled(recipe, classify)?,
        None => {
            let split = open_data(recipe)?;
            Labelled { notes: split.notes(), split }
        }
    };
    let pictures = Pictures::of(&split);
    notes.extend(pictures.changes(resumed, recipe.data.strict, Setting::Data)?);
    let normalization = match resumed {
        Some(checkpoint) => checkpoint.meta.normalization.clone(),
        None => normalization(recipe, split.train.as_ref())?,
    };
    let cursor = resumed.map_or(Cursor::default(), |c| c.meta.cursor);
    if resumed.is_none() && recipe.classify.is_none() {
        given.extend(target_params(&recipe.model, &split.train, &normalization, recipe.seed)?);
    }
    let beginning = resumed.map_or(Beginning::Fresh(&given), Beginning::Resumed);
    let trainer = Trainer::new(device, recipe, beginning)?;

    let parts = Parts { device, recipe, split: &split, normalization: &normalization, cursor };
    let (feed, assessment, skipped): (_, Box<dyn Assessment>, _) = match &recipe.classify {
        None => {
            let store = trainer.weights();
            let masked = MaskedAssessment::new(device, recipe, store, &split, &normalization)?;
            let skipped = masked.skipped().to_vec();
            (Feed::Pictures(parts.loader()?), Box::new(masked), skipped)
        }
        Some(classify) => {
            let (feed, data, skipped) = parts.labelled(classify, &trainer, observe)?;
            let config = classify.config(&recipe.model);
            let (input, batch) = (recipe.input(), recipe.batch_size);
            let predictor = Predictor::new(device, &config, input, batch, trainer.weights())?;
            let names = classify.class_names.clone();
            (feed, Box::new(ClassifierAssessment::new(predictor, data, names)), skipped)
        }
    };
    let average = recipe.average_in_words();
    notes.extend(average.map(|average| format!("measured, drawn and exported is {average}")));
    let derived = Derived {
        held_out_images: assessment.len(),
        notes,
        ..parts.derived(&trainer, feed.batches_per_epoch())
    };
    Ok(Prepared { trainer, feed, assessment, normalization, pictures, derived, skipped })
}

/// What the parts of a run are made from.
struct Parts<'a> {
    device: &'a Device,
    recipe: &'a Recipe,
    split: &'a Split,
    normalization: &'a Normalization,
    cursor: Cursor,
}

impl Parts<'_> {
    fn loader(&self) -> Result<crate::data::Loader> {
        open_loader(self.recipe, self.split, self.normalization, self.cursor)
    }

    /// Batches and held-out data with labels; where the encoder is frozen and pictures always look the
    /// same, its features in their place.
    fn labelled(
        &self,
        classify: &Classify,
        trainer: &Trainer,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Feed, LabelledData, Vec<Skipped>)> {
        let (recipe, split) = (self.recipe, self.split);
        let held_out = measured_pictures(recipe, split)?;
        if recipe.input() == Input::Images {
            let data = LabelledData::Pictures {
                source: held_out,
                normalization: self.normalization.clone(),
                image_size: recipe.model.image_size,
            };
            return Ok((Feed::Pictures(self.loader()?), data, Vec::new()));
        }
        let total = split.train.len() + held_out.len();
        let mut before = 0;
        let mut features_of = |source: &Arc<dyn ImageSource>| -> Result<Features> {
            let features = extract(
                Encoder {
                    device: self.device,
                    config: &recipe.model,
                    store: trainer.weights(),
                    normalization: self.normalization,
                },
                classify.pool,
                source,
                recipe.batch_size,
                &recipe.data.augment,
                &mut |done| observe(Event::Extracting { done: before + done, total }),
            )?;
            before += source.len();
            Ok(features)
        };
        let (train, measured) = (features_of(&split.train)?, features_of(&held_out)?);
        let skipped = train.skipped.iter().chain(&measured.skipped).cloned().collect();
        let labels = measured.labels(held_out.as_ref());
        let options = recipe.label_options().expect("a run with labels");
        let loading = loader_options(recipe);
        let feed = FeatureFeed::new(train, &split.train, options, &loading, self.cursor);
        Ok((Feed::Features(feed), LabelledData::Features { features: measured, labels }, skipped))
    }

    fn derived(&self, trainer: &Trainer, batches_per_epoch: usize) -> Derived {
        let (recipe, split, device) = (self.recipe, self.split, self.device);
        let model = &recipe.model;
        let [batch, update] = trainer.train_step().programs().map(|program| program.plan());
        let layout = trainer.store().layout();
        let masked = if recipe.classify.is_none() { model.num_masked() } else { 0 };
        let visible = model.num_patches() - masked;
        let (encoder_tokens, decoder_tokens) = match &recipe.classify {
            None => (model.encoder_tokens(), model.decoder_tokens()),
            Some(classify) => (classify.config(model).cls_tokens() + visible, 0),
        };
        Derived {
            webmae: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: device.summary().to_string(),
            train_data: split.train.describe(),
            held_out_data: split.how.clone(),
            train_images: split.train.len(),
            held_out_images: 0,
            normalization: self.normalization.clone(),
            num_patches: model.num_patches(),
            len_keep: visible,
            num_masked: masked,
            encoder_tokens,
            decoder_tokens,
            parameters: layout.trainable(),
            frozen_parameters: layout.specs().iter().map(ParamSpec::len).sum::<usize>()
                - layout.trainable(),
            effective_batch: recipe.effective_batch(),
            steps_per_epoch: recipe.steps_per_epoch(batches_per_epoch),
            schedule: recipe.schedule(batches_per_epoch),
            flops_per_step: batch.flops * recipe.grad_accum as u64 + update.flops,
            device_bytes: Plan::total_bytes(&[batch, update])
                + STAGING_BUFFERS as u64 * trainer.train_step().image_bytes(),
            dispatches_per_step: batch.dispatches * recipe.grad_accum + update.dispatches,
            notes: Vec::new(),
        }
    }
}
