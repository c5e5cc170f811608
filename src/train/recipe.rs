//! What a training run does: everything that is asked for, and every number that follows.

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::step::{MaskSource, StepConfig, Task};
use crate::config::{ModelConfig, PatchTarget};
use crate::data::mix::Mix;
use crate::data::{Augment, LabelOptions, Normalization};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::classifier::{ClassifierConfig, Head, HeadInfo, Pool, Trainable};
use crate::model::classify::Input;
use crate::ops::optimizer::Optimizer;

/// Puts what was given in the place of a default.
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
}

/// A linear probe that learns beside pre-training, without a gradient into the encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnlineProbe {
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
    pub probe: Option<OnlineProbe>,
}

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
        let shares = [("--smoothing", self.smoothing), ("--layer-decay", 1.0 - self.layer_decay)];
        for (option, value) in shares {
            if !(0.0..1.0).contains(&value) {
                let problem = match option {
                    "--smoothing" => format!("must be in [0, 1), got {value}"),
                    _ => format!("must be above 0 and at most 1, got {}", self.layer_decay),
                };
                return Err(Error::config(option, problem));
            }
        }
        Ok(())
    }
}

impl Recipe {
    /// Checks what no other part checks.
    ///
    /// # Errors
    /// [`Error::Config`] names the option, its value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let positive = [
            ("--batch-size", self.batch_size),
            ("--grad-accum", self.grad_accum),
            ("--keep-checkpoints", self.keep_checkpoints),
            ("--held-out-images", self.data.held_out_images),
        ];
        for (option, value) in positive {
            if value == 0 {
                return Err(Error::config(option, "must be at least 1, got 0"));
            }
        }
        let below_one = match self.optimizer {
            Optimizer::AdamW(adamw) => {
                let (beta1, beta2) = (f64::from(adamw.beta1), f64::from(adamw.beta2));
                vec![("--beta1", beta1, 1.0), ("--beta2", beta2, 1.0)]
            }
            Optimizer::Lars(lars) => vec![("--momentum", f64::from(lars.momentum), 1.0)],
        };
        let (weight_decay, clip_norm) = match self.optimizer {
            Optimizer::AdamW(adamw) => (adamw.weight_decay, adamw.clip_norm),
            Optimizer::Lars(lars) => (lars.weight_decay, 0.0),
        };
        let rates = [
            ("--blr", self.blr, f64::INFINITY),
            ("--lr", self.lr.unwrap_or(0.0), f64::INFINITY),
            ("--min-lr", self.min_lr, f64::INFINITY),
            ("--weight-decay", f64::from(weight_decay), f64::INFINITY),
            ("--clip-grad", f64::from(clip_norm), f64::INFINITY),
            ("--eval-every", self.eval_every, f64::INFINITY),
            ("--pictures-every", self.pictures_every, f64::INFINITY),
            ("--checkpoint-every", self.checkpoint_every, f64::INFINITY),
        ];
        for (option, value, end) in rates.into_iter().chain(below_one) {
            if !(value >= 0.0 && value < end) {
                let problem = format!("must be at least 0 and below {end}, got {value}");
                return Err(Error::config(option, problem));
            }
        }
        for (option, length) in [("--epochs", self.length), ("--warmup-epochs", self.warmup)] {
            if let Length::Epochs(epochs) = length
                && !(0.0..1e9).contains(&epochs)
            {
                let problem = format!("must be a number of epochs, got {epochs}");
                return Err(Error::config(option, problem));
            }
        }
        if self.precision == Precision::F16 && matches!(self.optimizer, Optimizer::Lars(_)) {
            let problem = "f16 is for training with AdamW; LARS trains a linear layer in f32";
            return Err(Error::config("--precision", problem));
        }
        if let Some(classify) = &self.classify {
            return classify.validate(&self.model);
        }
        if let Some(probe) = &self.probe {
            self.probe_recipe(probe).validate()?;
        }
        self.validate_tokens()?;
        if self.model.num_masked() == 0 {
            let problem = format!(
                "{} masks none of {} patches, so there is no loss to train on; try 0.75",
                self.model.mask_ratio,
                self.model.num_patches()
            );
            return Err(Error::config("--mask-ratio", problem));
        }
        Ok(())
    }

    /// A picture's tokens are those of the whole picture, as it is.
    fn validate_tokens(&self) -> Result<()> {
        let given = matches!(self.model.target, PatchTarget::Tokens { .. });
        if given != self.data.tokens.is_some() {
            let problem = "given tokens come from a file, see --tokens, and nothing else does";
            return Err(Error::config("--target", problem));
        }
        if given && !self.data.augment.is_fixed() {
            let problem = "the tokens belong to whole pictures: give --crop none (or center) and \
                           --no-flip, and no --color-jitter";
            return Err(Error::config("--tokens", problem));
        }
        Ok(())
    }

    /// How labels become targets, if the run uses labels.
    pub fn label_options(&self) -> Option<LabelOptions> {
        self.classify.as_ref().map(|classify| LabelOptions {
            classes: classify.class_names.len(),
            smoothing: classify.smoothing,
            mix: classify.mix,
        })
    }

    /// What the run's programs begin with: a frozen encoder's features, where each picture has just one.
    pub fn input(&self) -> Input {
        let probes = self.classify.as_ref().is_some_and(|c| {
            c.head == Head::Probe && c.trainable == Trainable::None && c.mix.is_off()
        });
        if probes && self.data.augment.is_fixed() { Input::Features } else { Input::Images }
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
        let model = self.model.clone();
        let task = match &self.classify {
            None => Task::Masked { model, masks: MaskSource::Generated },
            Some(classify) => {
                Task::Classify { classifier: classify.config(&model), input: self.input() }
            }
        };
        StepConfig {
            task,
            batch_size: self.batch_size,
            grad_accum: self.grad_accum,
            optimizer: self.optimizer,
            layer_decay: self.classify.as_ref().map_or(1.0, |classify| classify.layer_decay),
            recompute: self.recompute,
            precision: self.precision,
        }
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

/// Numbers that follow from a recipe, its data and its device; kept in `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// This crate's version.
    pub webmae: String,
    /// Adapter and driver.
    pub adapter: String,
    /// What the training data is.
    pub train_data: String,
    /// Where held-out data comes from.
    pub held_out_data: String,
    /// Number of training pictures.
    pub train_images: usize,
    /// Number of held-out pictures that are measured.
    pub held_out_images: usize,
    /// Pixel statistics in use.
    pub normalization: Normalization,
    /// Patches per image.
    pub num_patches: usize,
    /// Visible patches per image.
    pub len_keep: usize,
    /// Masked patches per image.
    pub num_masked: usize,
    /// Tokens in the encoder.
    pub encoder_tokens: usize,
    /// Tokens in the decoder.
    pub decoder_tokens: usize,
    /// Trained values.
    pub parameters: usize,
    /// Values that are not trained.
    #[serde(default)]
    pub frozen_parameters: usize,
    /// Images per optimiser step.
    pub effective_batch: usize,
    /// Optimiser steps per epoch.
    pub steps_per_epoch: u64,
    /// The schedule in steps.
    pub schedule: Schedule,
    /// Matrix FLOPs of one optimiser step.
    pub flops_per_step: u64,
    /// Bytes on the device.
    pub device_bytes: u64,
    /// Kernel launches per optimiser step.
    pub dispatches_per_step: usize,
    /// What was decided about the data.
    #[serde(default)]
    pub notes: Vec<String>,
}
