//! Options that every training command has.

use std::path::{Path, PathBuf};

use super::files::FilesArgs;
use super::memory::MemoryArgs;
use crate::cli::wording::message;
use crate::data::augment::color::ColorJitter;
use crate::data::{Augment, CropName};
use crate::error::{Error, Result};
use crate::train::checkpoints;
use crate::train::recipe::{Length, Recipe, overrule};
use crate::train::run::Start;
use crate::train::run_folder::{next_free, read_config};

/// What every training command has.
#[derive(Debug, clap::Args)]
#[command(mut_group("FilesArgs", |group| group.conflicts_with("resume")))]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub files: FilesArgs,
    #[command(flatten)]
    pub rate: RateArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Where a run lives, what it learns from and how long.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunArgs {
    /// Go on with the run in this folder, on the same device bit for bit
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub resume: Option<PathBuf>,
    /// Folder of the run [default: runs/DATA-KIND-NUMBER]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Pictures: a folder (flat, or of class folders), CIFAR-10 batches, one picture, or
    /// `synthetic[:COUNT]`; with --resume where they are now
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub data: Option<String>,
    /// Stop at an unreadable file instead of naming and skipping it, and with --resume where the data is not
    /// what the run began with
    #[arg(long, value_name = "BOOL", help_heading = "Data")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict: Option<bool>,
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
    held_out_images: Option<usize>,
    /// Ignore the orientation that cameras store (as torchvision does)
    #[arg(long)]
    pub ignore_exif: bool,
    /// Part of a picture that is shown [default: random; none in pre-training on synthetic]
    #[arg(long, value_enum)]
    crop: Option<CropName>,
    /// Share of a picture's area that a random crop shows, drawn between these; to 1 where MAX is left out
    #[arg(long, value_name = "MIN[,MAX]", value_parser = parse_scale, allow_negative_numbers = true)]
    crop_scale: Option<[f64; 2]>,
    /// Do not mirror pictures
    #[arg(long)]
    no_flip: bool,
    /// Vary brightness, contrast and (RGB) saturation, in random order, by factors from 1 - STRENGTH to 1 + STRENGTH;
    /// 0 is off
    #[arg(long, value_name = "STRENGTH", allow_negative_numbers = true)]
    jitter: Option<f32>,
    /// The same at 0.4, and the hue by up to a tenth of a turn, as in the paper's Table 1e
    #[arg(long, conflicts_with = "jitter")]
    color_jitter: bool,
}

/// Batches, rates and seed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Recipe")]
#[group(conflicts_with = "resume")]
pub(crate) struct RateArgs {
    /// Images per batch
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Batches per optimiser step
    #[arg(long, value_name = "N")]
    grad_accum: Option<usize>,
    /// Warm-up in epochs [default: a tenth of the run]
    #[arg(long, value_name = "N", conflicts_with = "warmup_steps")]
    warmup_epochs: Option<f64>,
    /// Warm-up in steps
    #[arg(long, value_name = "N")]
    warmup_steps: Option<u64>,
    /// Base learning rate: the rate is blr · effective batch / 256
    #[arg(long, value_name = "RATE", conflicts_with = "lr")]
    blr: Option<f64>,
    /// Learning rate itself
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Learning rate in the end
    #[arg(long, value_name = "RATE")]
    min_lr: Option<f64>,
    /// Seed of parameters, order, augmentation and masks
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What a run leaves behind, and how often.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
#[group(conflicts_with = "resume")]
pub(crate) struct OutputArgs {
    /// Epochs between measurements on held-out pictures; 0 measures in the end only
    #[arg(long, value_name = "N")]
    eval_every: Option<f64>,
    /// Epochs between checkpoints; 0 saves in the end only
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<f64>,
    /// Newest checkpoints that are kept
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<usize>,
}

impl CommonArgs {
    /// Changes `recipe` as they say.
    ///
    /// # Errors
    /// [`Error::Config`] for crops and colours that cannot be.
    pub(crate) fn apply(&self, recipe: &mut Recipe) -> Result<()> {
        let Self { run, data, files, rate, output } = self;
        if let Some(length) = run.length() {
            recipe.set_length(length);
        }
        overrule(&mut recipe.data.strict, run.strict);
        overrule(&mut recipe.data.threads, run.threads);
        data.apply(recipe)?;
        files.apply(recipe);
        rate.apply(recipe);
        output.apply(recipe);
        Ok(())
    }
}

impl RunArgs {
    /// The length that was asked for.
    fn length(&self) -> Option<Length> {
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
            complain!("warning: {}; taking an earlier one", message(&error));
        }
        let mut recipe =
            read_config(folder).map_or_else(|_| checkpoint.meta.recipe.clone(), |c| c.recipe);
        if recipe.classify.is_some() != labels {
            let command = if labels { "pretrain" } else { "finetune" };
            let problem = format!("is no such run; go on with: webmae {command} --resume");
            return Err(Error::bad_file(folder, problem));
        }
        overrule(&mut recipe.data.data, self.data.clone());
        overrule(&mut recipe.data.strict, self.strict);
        overrule(&mut recipe.data.threads, self.threads);
        overrule(&mut recipe.length, self.length());
        memory.apply(&mut recipe);
        say!("going on from {} (step {})", path.display(), checkpoint.meta.step);
        Ok((recipe, Start::Resume(folder.to_path_buf(), Box::new(checkpoint))))
    }
}

impl DataArgs {
    fn apply(&self, recipe: &mut Recipe) -> Result<()> {
        let usual = match recipe.classify {
            None => Augment::pretrain(),
            Some(_) => Augment::classify(),
        };
        let crop = self.crop.map(|name| name.crop(&usual));
        let data = &mut recipe.data;
        let augment = &mut data.augment;
        overrule(&mut augment.crop, crop);
        if let Some(scale) = self.crop_scale {
            augment.crop = augment.crop.with_scale(scale)?;
        }
        augment.flip &= !self.no_flip;
        let jitter = self.jitter.filter(|&strength| strength != 0.0).map(ColorJitter::of_strength);
        augment.jitter = jitter.or(self.color_jitter.then(ColorJitter::paper));
        augment.validate()?;
        data.held_out.clone_from(&self.held_out);
        overrule(&mut data.held_out_images, self.held_out_images);
        data.apply_exif = !self.ignore_exif;
        Ok(())
    }
}

impl FilesArgs {
    fn apply(&self, recipe: &mut Recipe) {
        recipe.data.class_prefix.clone_from(&self.class_prefix);
        recipe.data.exclude.clone_from(&self.exclude);
    }
}

impl RateArgs {
    fn apply(&self, recipe: &mut Recipe) {
        overrule(&mut recipe.batch_size, self.batch_size);
        overrule(&mut recipe.grad_accum, self.grad_accum);
        overrule(&mut recipe.warmup, self.warmup_epochs.map(Length::Epochs));
        overrule(&mut recipe.warmup, self.warmup_steps.map(Length::Steps));
        if let Some(blr) = self.blr {
            // A rate itself would go before it.
            (recipe.blr, recipe.lr) = (blr, None);
        }
        recipe.lr = self.lr.or(recipe.lr);
        overrule(&mut recipe.min_lr, self.min_lr);
        overrule(&mut recipe.seed, self.seed);
    }
}

impl OutputArgs {
    fn apply(&self, recipe: &mut Recipe) {
        overrule(&mut recipe.eval_every, self.eval_every);
        overrule(&mut recipe.checkpoint_every, self.checkpoint_every);
        overrule(&mut recipe.keep_checkpoints, self.keep_checkpoints);
    }
}

/// Parses `MIN` or `MIN,MAX`.
fn parse_scale(text: &str) -> std::result::Result<[f64; 2], String> {
    let (low, high) = text.split_once(',').unwrap_or((text, "1"));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) => Ok([low, high]),
        _ => Err(format!("{text:?} is not one number or two, as in 0.2 or 0.2,1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_one_number_or_two() {
        assert_eq!(parse_scale("0.2"), Ok([0.2, 1.0]));
        assert_eq!(parse_scale("0.1, 0.5"), Ok([0.1, 0.5]));
        for bad in ["", "x", "0.2,", "0.1,0.2,0.3"] {
            assert!(parse_scale(bad).is_err(), "{bad}");
        }
    }
}
