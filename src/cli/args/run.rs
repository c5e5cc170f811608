//! Options that every training command has.

use std::path::{Path, PathBuf};

use super::memory::MemoryArgs;
use crate::cli::wording::message;
use crate::data::color::ColorJitter;
use crate::data::{Augment, Crop};
use crate::error::{Error, Result};
use crate::train::checkpoints;
use crate::train::recipe::{Length, Recipe};
use crate::train::run::Start;
use crate::train::run_folder::{next_free, read_config};

/// What every training command has.
#[derive(Debug, clap::Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub rate: RateArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Where a run lives, what it learns from and how long.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunArgs {
    /// Go on with the run in this folder, bit for bit
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub resume: Option<PathBuf>,
    /// Folder of the run [default: runs/DATA-KIND-NUMBER]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Pictures: a folder (flat, or of class folders), CIFAR-10 batches, one picture, or
    /// `synthetic[:COUNT]`; with --resume where they are now
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub data: Option<String>,
    /// Threads that prepare batches [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub threads: Option<usize>,
    /// Passes over the data; with --resume the new length
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Length")]
    pub epochs: Option<f64>,
    /// Optimiser steps instead of epochs
    #[arg(long, value_name = "N", help_heading = "Length")]
    pub steps: Option<u64>,
}

/// Which pictures, and what is done to each.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(conflicts_with = "resume")]
pub(crate) struct DataArgs {
    /// Held-out pictures [default: a val or test folder beside the data, else a part of it]
    #[arg(long, value_name = "PATH")]
    pub held_out: Option<String>,
    /// Held-out pictures that are measured, at most
    #[arg(long, value_name = "N")]
    pub held_out_images: Option<usize>,
    /// Of class folders, use only those whose name starts so
    #[arg(long, value_name = "PREFIX")]
    pub class_prefix: Option<String>,
    /// Stop at an unreadable file instead of naming and skipping it
    #[arg(long)]
    pub strict: bool,
    /// Ignore the orientation that cameras store (as torchvision does)
    #[arg(long)]
    pub ignore_exif: bool,
    /// Part of a picture that is shown [default: random; none in pre-training on synthetic]
    #[arg(long, value_enum)]
    crop: Option<CropChoice>,
    /// Do not mirror pictures
    #[arg(long)]
    no_flip: bool,
    /// Vary brightness, contrast, saturation and hue (RGB)
    #[arg(long)]
    color_jitter: bool,
}

/// Crops by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CropChoice {
    /// A random part (RandomResizedCrop): 20 to 100 % of the area in pre-training, 8 to 100 % else
    Random,
    /// The picture resized to cover the size, cropped at a random place
    Fixed,
    /// The same, cropped in the centre
    Center,
    /// The whole picture resized, whatever its proportions
    None,
}

/// Batches, rates and seed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Recipe")]
#[group(conflicts_with = "resume")]
pub(crate) struct RateArgs {
    /// Images per batch
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Batches per optimiser step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub grad_accum: usize,
    /// Warm-up in epochs [default: a tenth of the run]
    #[arg(long, value_name = "N", conflicts_with = "warmup_steps")]
    warmup_epochs: Option<f64>,
    /// Warm-up in steps
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// Base learning rate: the rate is blr · effective batch / 256
    #[arg(long, value_name = "RATE", conflicts_with = "lr")]
    pub blr: Option<f64>,
    /// Learning rate itself
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Learning rate in the end
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub min_lr: f64,
    /// Seed of parameters, order, augmentation and masks
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// What a run leaves behind, and how often.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
#[group(conflicts_with = "resume")]
pub(crate) struct OutputArgs {
    /// Epochs between measurements on held-out pictures; 0 measures in the end only [default: 1, for
    /// synthetic 0.1]
    #[arg(long, value_name = "N")]
    pub eval_every: Option<f64>,
    /// Epochs between checkpoints; 0 saves in the end only [default: 1, for synthetic 0.1]
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<f64>,
    /// Newest checkpoints that are kept
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub keep_checkpoints: usize,
}

impl RunArgs {
    /// The length that was asked for.
    pub(crate) fn length(&self) -> Option<Length> {
        self.steps.map(Length::Steps).or(self.epochs.map(Length::Epochs))
    }

    /// The folder asked for, or the next free `runs/DATA-KIND-NUMBER`.
    pub(crate) fn folder(&self, data: &str, kind: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let name = Path::new(data).file_name().unwrap_or_default().to_string_lossy();
            let name = name.split(':').next().unwrap_or("data").to_owned();
            next_free(Path::new("runs"), &format!("{name}-{kind}"))
        })
    }

    /// The run in `folder`: its recipe, with what is given anew, and its newest checkpoint. `labels` says
    /// whether the command trains with labels.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there is no readable checkpoint, or the run is of another kind.
    pub(crate) fn resumed(
        &self,
        folder: &Path,
        labels: bool,
        memory: &MemoryArgs,
    ) -> Result<(Recipe, Start)> {
        let (path, checkpoint, broken) = checkpoints::latest(folder)?;
        for error in broken {
            eprintln!("warning: {}; taking an earlier one", message(&error));
        }
        let mut recipe =
            read_config(folder).map_or_else(|_| checkpoint.meta.recipe.clone(), |c| c.recipe);
        if recipe.classify.is_some() != labels {
            let command = if labels { "pretrain" } else { "finetune" };
            let problem = format!("is no such run; go on with: webmae {command} --resume");
            return Err(Error::bad_file(folder, problem));
        }
        if let Some(data) = &self.data {
            recipe.data.data.clone_from(data);
        }
        if let Some(threads) = self.threads {
            recipe.data.threads = threads;
        }
        if let Some(length) = self.length() {
            recipe.length = length;
        }
        recipe.recompute = memory.recompute(recipe.recompute);
        recipe.precision = memory.precision(recipe.precision);
        say!("going on from {} (step {})", path.display(), checkpoint.meta.step);
        Ok((recipe, Start::Resume(folder.to_path_buf(), Box::new(checkpoint))))
    }
}

impl DataArgs {
    /// What is done to each picture, where `random` is the random crop and `usual` that which nobody asked for.
    pub(crate) fn augment(&self, random: Crop, usual: Crop) -> Augment {
        let crop = match self.crop {
            None => usual,
            Some(CropChoice::Random) => random,
            Some(CropChoice::Fixed) => Crop::RandomFixed,
            Some(CropChoice::Center) => Augment::center().crop,
            Some(CropChoice::None) => Crop::None,
        };
        let jitter = self.color_jitter.then(ColorJitter::paper);
        Augment { crop, flip: !self.no_flip, jitter, ..Augment::none() }
    }
}

impl RateArgs {
    /// The warm-up of a run of `length`.
    pub(crate) fn warmup(&self, length: Length) -> Length {
        match (self.warmup_steps, self.warmup_epochs, length) {
            (Some(steps), ..) => Length::Steps(steps),
            (None, Some(epochs), _) => Length::Epochs(epochs),
            (None, None, Length::Steps(steps)) => Length::Steps(steps / 10),
            (None, None, Length::Epochs(epochs)) => Length::Epochs(epochs / 10.0),
        }
    }
}
