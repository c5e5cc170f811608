//! What a training run does: everything that is asked for, and every number that follows.

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::step::{MaskSource, StepConfig, Task};
#[cfg(not(feature = "labels"))]
pub use crate::absent::{Absent as Classify, Absent as ProbeRecipe};
use crate::config::{ModelConfig, PatchTarget, at_least_one};
#[cfg(feature = "labels")]
use crate::data::LabelOptions;
#[cfg(feature = "labels")]
use crate::data::augment::mix::Mix;
use crate::data::{Augment, Normalization};
use crate::error::{Error, Result};
use crate::kernels::Precision;
#[cfg(feature = "labels")]
use crate::model::classifier::{ClassifierConfig, Head, HeadInfo, Pool, Trainable};
#[cfg(feature = "labels")]
use crate::model::classify::Input;
use crate::ops::optimizer::Optimizer;
use crate::remedy::Remedy;
use crate::setting::Setting;

/// Puts what was given in the place of a default.
#[cfg(any(feature = "native", not(feature = "check")))]
pub(crate) fn overrule<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

/// How long a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Passes over the training data.
    Epochs(f64),
    /// Optimiser steps.
    Steps(u64),
}

impl Length {
    /// In optimiser steps, where an epoch has `steps_per_epoch`.
    pub fn steps(self, steps_per_epoch: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => (epochs * steps_per_epoch as f64).round() as u64,
        }
    }
}

/// Mean and standard deviation of the pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizationChoice {
    /// ImageNet's, for three channels.
    Imagenet,
    /// Measured from the training data.
    Measured,
    /// As given.
    Given(Normalization),
}

/// Where pictures come from and what is done to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecipe {
    /// See [`crate::data::open`].
    pub data: String,
    /// Held-out pictures, if not found beside the data; see [`crate::data::open_split`].
    pub held_out: Option<String>,
    /// Of a tree of class folders, only those whose name starts so.
    pub class_prefix: Option<String>,
    /// Folders and files to leave out, see [`crate::data::SourceOptions::exclude`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Turn pictures as their EXIF orientation says.
    pub apply_exif: bool,
    /// Stop at the first unreadable file instead of skipping it.
    pub strict: bool,
    /// Number of synthetic pictures.
    pub synthetic_len: usize,
    /// Crops, flips, colour.
    pub augment: Augment,
    /// Pixel statistics.
    pub normalization: NormalizationChoice,
    /// Held-out pictures that are measured, at most.
    pub held_out_images: usize,
    /// Pictures in `reconstructions.png`.
    pub pictures: usize,
    /// Threads that prepare batches; 0 is one per core.
    pub threads: usize,
    /// File with every picture's tokens, for [`PatchTarget::Tokens`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
}

/// Training with labels.
#[cfg(feature = "labels")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classify {
    /// Pooling of the tokens.
    pub pool: Pool,
    /// What stands on the encoder.
    pub head: Head,
    /// Names of the classes, in the order of labels.
    pub class_names: Vec<String>,
    /// What is trained.
    pub trainable: Trainable,
    /// See [`ClassifierConfig::learned_positions`].
    pub learned_positions: bool,
    /// See [`ClassifierConfig::drop_path`].
    pub drop_path: f32,
    /// See [`StepConfig::layer_decay`].
    pub layer_decay: f32,
    /// Share of each target that is spread over all classes.
    pub smoothing: f32,
    /// Images and targets mixed in pairs.
    pub mix: Mix,
    /// Where the encoder comes from; none is trained from scratch.
    pub weights: Option<String>,
    /// Which of that file's sets of weights it is, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
}

/// A linear probe that learns beside pre-training, without a gradient into the encoder.
#[cfg(feature = "labels")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRecipe {
    /// Labelled pictures.
    pub data: String,
    /// Of class folders, only those whose name starts so.
    pub class_prefix: Option<String>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Steps of pre-training between two of the probe.
    pub every: u64,
    /// Pictures per step of the probe.
    pub batch_size: usize,
    /// Base learning rate, see [`Recipe::blr`].
    pub blr: f64,
    /// Pooling of the tokens.
    pub pool: Pool,
}

/// Everything that a run is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The model.
    pub model: ModelConfig,
    /// The data.
    pub data: DataRecipe,
    /// Images per batch.
    pub batch_size: usize,
    /// Batches per optimiser step.
    pub grad_accum: usize,
    /// Length of the run.
    pub length: Length,
    /// Length of the warm-up.
    pub warmup: Length,
    /// Base learning rate: the learning rate is `blr · effective batch / 256`.
    pub blr: f64,
    /// Learning rate, instead of `blr`'s.
    pub lr: Option<f64>,
    /// Learning rate in the end.
    pub min_lr: f64,
    /// See [`StepConfig::recompute`]: the run is the same with and without.
    #[serde(default)]
    pub recompute: bool,
    /// See [`StepConfig::precision`].
    #[serde(default)]
    pub precision: Precision,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Seed of parameters, order, augmentation and masks.
    pub seed: u64,
    /// Epochs between held-out losses; 0 measures in the end only.
    pub eval_every: f64,
    /// Epochs between pictures; 0 draws in the end only.
    pub pictures_every: f64,
    /// Epochs between checkpoints; 0 saves in the end only.
    pub checkpoint_every: f64,
    /// Newest checkpoints that are kept.
    pub keep_checkpoints: usize,
    /// Training with labels; without, masked pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classify: Option<Classify>,
    /// A probe beside pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecipe>,
}

#[cfg(feature = "labels")]
impl Classify {
    /// The classifier on the encoder of `model`.
    pub fn config(&self, model: &ModelConfig) -> ClassifierConfig {
        ClassifierConfig {
            model: model.clone(),
            pool: self.pool,
            head: self.head,
            classes: self.class_names.len(),
            trainable: self.trainable,
            learned_positions: self.learned_positions,
            drop_path: self.drop_path,
        }
    }

    /// What a file says of the head.
    pub fn head_info(&self) -> HeadInfo {
        HeadInfo { pool: self.pool, head: self.head, class_names: self.class_names.clone() }
    }

    fn validate(&self, model: &ModelConfig) -> Result<()> {
        self.config(model).validate()?;
        self.mix.validate()?;
        if !(0.0..1.0).contains(&self.smoothing) {
            let problem = format!("must be in [0, 1), got {}", self.smoothing);
            return Err(Error::config(Setting::Smoothing, problem));
        }
        if !(self.layer_decay > 0.0 && self.layer_decay <= 1.0) {
            let problem = format!("must be above 0 and at most 1, got {}", self.layer_decay);
            return Err(Error::config(Setting::LayerDecay, problem));
        }
        Ok(())
    }
}

impl Recipe {
    /// Checks what no other part checks.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Argument`] names the field, its value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        at_least_one(&[
            (Setting::BatchSize, self.batch_size),
            (Setting::GradAccum, self.grad_accum),
            (Setting::KeepCheckpoints, self.keep_checkpoints),
            (Setting::HeldOutImages, self.data.held_out_images),
        ])?;
        let rates = [
            (Setting::Blr, self.blr),
            (Setting::Lr, self.lr.unwrap_or(0.0)),
            (Setting::MinLr, self.min_lr),
            (Setting::EvalEvery, self.eval_every),
            (Setting::PicturesEvery, self.pictures_every),
            (Setting::CheckpointEvery, self.checkpoint_every),
        ];
        for (setting, value) in rates {
            below(setting, value, f64::INFINITY)?;
        }
        for (setting, length) in [(Setting::Length, self.length), (Setting::Warmup, self.warmup)] {
            if let Length::Epochs(epochs) = length
                && !(0.0..1e9).contains(&epochs)
            {
                let problem = format!("must be a number of epochs, got {epochs}");
                return Err(Error::config(setting, problem));
            }
        }
        self.validate_optimizer()?;
        #[cfg(feature = "labels")]
        if let Some(classify) = &self.classify {
            return classify.validate(&self.model);
        }
        #[cfg(feature = "labels")]
        if let Some(probe) = &self.probe {
            at_least_one(&[(Setting::ProbeBatchSize, probe.batch_size)])?;
            below(Setting::ProbeBlr, probe.blr, f64::INFINITY)?;
            self.probe_recipe(probe).validate()?;
        }
        self.validate_tokens()?;
        if self.model.num_masked() == 0 {
            let problem = format!(
                "{} masks none of {} patches, so there is no loss to train on; try 0.75",
                self.model.mask_ratio,
                self.model.num_patches()
            );
            return Err(Error::config(Setting::MaskRatio, problem));
        }
        Ok(())
    }

    fn validate_optimizer(&self) -> Result<()> {
        let weight_decay = match self.optimizer {
            Optimizer::AdamW(adamw) => {
                below(Setting::Beta1, adamw.beta1.into(), 1.0)?;
                below(Setting::Beta2, adamw.beta2.into(), 1.0)?;
                below(Setting::ClipNorm, adamw.clip_norm.into(), f64::INFINITY)?;
                below(Setting::Ema, adamw.ema.unwrap_or(0.0).into(), 1.0)?;
                adamw.weight_decay
            }
            #[cfg(feature = "labels")]
            Optimizer::Lars(_) if self.precision == Precision::F16 => {
                let problem = "f16 is for training with AdamW; LARS trains a linear layer in f32";
                return Err(Error::config(Setting::Precision, problem));
            }
            #[cfg(feature = "labels")]
            Optimizer::Lars(lars) if !(0.0..1.0).contains(&lars.momentum) => {
                let problem = format!("must be at least 0 and below 1, got {}", lars.momentum);
                return Err(Error::argument("momentum", problem));
            }
            #[cfg(feature = "labels")]
            Optimizer::Lars(lars) => lars.weight_decay,
        };
        below(Setting::WeightDecay, weight_decay.into(), f64::INFINITY)
    }

    /// A picture's tokens are those of the whole picture, as it is.
    fn validate_tokens(&self) -> Result<()> {
        let given = matches!(self.model.target, PatchTarget::Tokens { .. });
        let refuse = |problem: &str, remedies| {
            Err(Error::Config { setting: Setting::Tokens, problem: problem.to_owned(), remedies })
        };
        match &self.data.tokens {
            None if given => refuse("is missing: the file with the tokens to predict", Vec::new()),
            Some(_) if !given => {
                let predicted = Remedy::set(Setting::Target, "tokens");
                refuse("is of no use: tokens are not what is predicted", vec![predicted])
            }
            Some(_) if !self.data.augment.is_fixed() => {
                let whole = Remedy::set(Setting::Crop, "none or center")
                    .and(Remedy::off(Setting::Flip))
                    .and(Remedy::off(Setting::Jitter));
                refuse(
                    "the tokens belong to whole pictures, which must stay as they are",
                    vec![whole],
                )
            }
            _ => Ok(()),
        }
    }

    /// How labels become targets, if the run uses labels.
    #[cfg(feature = "labels")]
    pub fn label_options(&self) -> Option<LabelOptions> {
        self.classify.as_ref().map(|classify| LabelOptions {
            classes: classify.class_names.len(),
            smoothing: classify.smoothing,
            mix: classify.mix,
        })
    }

    /// What the run's programs begin with: a frozen encoder's features, where each picture has just one.
    #[cfg(feature = "labels")]
    pub fn input(&self) -> Input {
        let probes = self
            .classify
            .as_ref()
            .is_some_and(|c| c.head.is_probe() && c.trainable == Trainable::None && c.mix.is_off());
        if probes && self.data.augment.is_fixed() { Input::Features } else { Input::Images }
    }

    /// The moving average of the weights in words, if one is kept: the weights to use are then those.
    pub fn average_in_words(&self) -> Option<String> {
        let words = |decay| format!("the moving average of the weights (EMA {decay})");
        self.optimizer.ema().map(words)
    }

    /// Images per optimiser step.
    pub fn effective_batch(&self) -> usize {
        self.batch_size * self.grad_accum
    }

    /// The highest learning rate.
    pub fn peak_lr(&self) -> f64 {
        self.lr.unwrap_or(self.blr * self.effective_batch() as f64 / 256.0)
    }

    /// What a step is recorded for.
    pub fn step_config(&self) -> StepConfig {
        StepConfig {
            task: self.task(),
            batch_size: self.batch_size,
            grad_accum: self.grad_accum,
            optimizer: self.optimizer,
            layer_decay: self.layer_decay(),
            recompute: self.recompute,
            precision: self.precision,
        }
    }

    fn task(&self) -> Task {
        #[cfg(feature = "labels")]
        if let Some(classify) = &self.classify {
            let classifier = classify.config(&self.model);
            return Task::Classify { classifier, input: self.input() };
        }
        Task::Masked { model: self.model.clone(), masks: MaskSource::Generated }
    }

    fn layer_decay(&self) -> f32 {
        #[cfg(feature = "labels")]
        if let Some(classify) = &self.classify {
            return classify.layer_decay;
        }
        1.0
    }

    /// The schedule, where an epoch has `batches_per_epoch` batches.
    pub fn schedule(&self, batches_per_epoch: usize) -> Schedule {
        let per_epoch = self.steps_per_epoch(batches_per_epoch);
        let total_steps = self.length.steps(per_epoch).max(1);
        Schedule {
            lr: self.peak_lr(),
            min_lr: self.min_lr,
            // A warm-up as long as the run would never reach the rate: at most half.
            warmup_steps: self.warmup.steps(per_epoch).min(total_steps / 2),
            total_steps,
        }
    }

    /// Optimiser steps per epoch, at least 1.
    pub fn steps_per_epoch(&self, batches_per_epoch: usize) -> u64 {
        (batches_per_epoch / self.grad_accum).max(1) as u64
    }
}

fn below(setting: Setting, value: f64, end: f64) -> Result<()> {
    if value >= 0.0 && value < end {
        return Ok(());
    }
    Err(Error::config(setting, format!("must be at least 0 and below {end}, got {value}")))
}
