//! `webmae pretrain`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;

use super::format;
use super::model_args::ModelArgs;
use super::progress::Progress;
use crate::config::ModelConfig;
use crate::data::color::ColorJitter;
use crate::data::{Augment, Crop, Normalization};
use crate::error::{Error, Result};
use crate::gpu::GpuOptions;
use crate::ops::optim::AdamW;
use crate::train::checkpoints;
use crate::train::event::Outcome;
use crate::train::pretrain::{Start, pretrain};
use crate::train::recipe::{DataRecipe, Length, NormalizationChoice, Recipe};
use crate::train::run_folder::{next_free, read_config};

/// Options of `webmae pretrain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae pretrain --data PHOTOS --preset small --epochs 200
  webmae pretrain --data CIFAR --batch-size 256 --blr 1.5e-4 --norm-pix-loss
  webmae pretrain --resume runs/PHOTOS-small-1

A run's folder holds config.json, metrics.jsonl, TensorBoard events, loss.png,
reconstructions.png and checkpoints. Ctrl-C saves and says how to go on.")]
pub(super) struct Args {
    /// Go on with the run in this folder, bit for bit
    #[arg(long, value_name = "RUN", conflicts_with_all = ["ModelArgs", "RecipeArgs", "out"])]
    resume: Option<PathBuf>,
    /// Folder of the run [default: runs/DATA-PRESET-NUMBER]
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Pictures: a folder (flat, or of class folders), CIFAR-10 batches, one picture, or
    /// `synthetic[:COUNT]`; with --resume where they are now [default: synthetic]
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    data: Option<String>,
    /// Threads that prepare batches [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Data")]
    threads: Option<usize>,
    /// Passes over the data; with --resume the new length [default: 100]
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Length")]
    epochs: Option<f64>,
    /// Optimiser steps instead of epochs [default for synthetic: 500]
    #[arg(long, value_name = "N", help_heading = "Length")]
    steps: Option<u64>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What makes a run, other than its model and its length.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
struct RecipeArgs {
    /// Held-out pictures [default: a val or test folder beside the data, else a part of it]
    #[arg(long, value_name = "PATH")]
    held_out: Option<String>,
    /// Held-out pictures that are measured, at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    held_out_images: usize,
    /// Of class folders, use only those whose name starts so
    #[arg(long, value_name = "PREFIX")]
    class_prefix: Option<String>,
    /// Number of synthetic pictures
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    synthetic_images: usize,
    /// Stop at an unreadable file instead of naming and skipping it
    #[arg(long)]
    strict: bool,
    /// Ignore the orientation that cameras store (as torchvision does)
    #[arg(long)]
    ignore_exif: bool,
    /// Part of a picture that is shown
    #[arg(long, value_enum, default_value_t = CropChoice::Random)]
    crop: CropChoice,
    /// Do not mirror pictures
    #[arg(long)]
    no_flip: bool,
    /// Vary brightness, contrast, saturation and hue (RGB)
    #[arg(long)]
    color_jitter: bool,
    /// Pixel statistics [default: imagenet for RGB, else measured]
    #[arg(long, value_enum, conflicts_with_all = ["mean", "std"])]
    normalization: Option<Statistics>,
    /// Mean of each channel, for values in 0..1
    #[arg(long, value_name = "X,…", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "X,…", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,

    /// Images per batch [default: 64, for synthetic 16]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    batch_size: Option<usize>,
    /// Batches per optimiser step
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Recipe")]
    grad_accum: usize,
    /// Warm-up in epochs [default: a tenth of the run]
    #[arg(long, value_name = "N", conflicts_with = "warmup_steps", help_heading = "Recipe")]
    warmup_epochs: Option<f64>,
    /// Warm-up in steps
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    warmup_steps: Option<u64>,
    /// Base learning rate: the rate is blr · effective batch / 256 [default: 4e-3 for tiny, 1e-3
    /// for small, else 1.5e-4]
    #[arg(long, value_name = "RATE", conflicts_with = "lr", help_heading = "Recipe")]
    blr: Option<f64>,
    /// Learning rate itself [default for synthetic: 1.5e-3]
    #[arg(long, value_name = "RATE", help_heading = "Recipe")]
    lr: Option<f64>,
    /// Learning rate in the end
    #[arg(long, value_name = "RATE", default_value_t = 0.0, help_heading = "Recipe")]
    min_lr: f64,
    /// Decoupled decay of matrices and tokens
    #[arg(long, value_name = "X", default_value_t = 0.05, help_heading = "Recipe")]
    weight_decay: f32,
    /// Decay of AdamW's first moment
    #[arg(long, value_name = "X", default_value_t = 0.9, help_heading = "Recipe")]
    beta1: f32,
    /// Decay of AdamW's second moment
    #[arg(long, value_name = "X", default_value_t = 0.95, help_heading = "Recipe")]
    beta2: f32,
    /// Largest global gradient norm; 0 does not clip
    #[arg(long, value_name = "NORM", default_value_t = 0.0, help_heading = "Recipe")]
    clip_grad: f32,
    /// Seed of parameters, order, augmentation and masks
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Recipe")]
    seed: u64,

    /// Epochs between held-out losses; 0 measures in the end only [default: 1, for synthetic 0.2]
    #[arg(long, value_name = "N", help_heading = "Output")]
    eval_every: Option<f64>,
    /// Epochs between reconstructions; 0 draws in the end only [default: 5, for synthetic 0.2]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pictures_every: Option<f64>,
    /// Pictures in reconstructions.png
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Output")]
    pictures: usize,
    /// Epochs between checkpoints; 0 saves in the end only [default: 1, for synthetic 0.2]
    #[arg(long, value_name = "N", help_heading = "Output")]
    checkpoint_every: Option<f64>,
    /// Newest checkpoints that are kept
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Output")]
    keep_checkpoints: usize,
}

/// Crops by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum CropChoice {
    /// A random part of 20 to 100 % of the area (RandomResizedCrop)
    Random,
    /// The picture resized to cover the size, cropped at a random place
    Fixed,
    /// The same, cropped in the centre
    Center,
    /// The whole picture resized, whatever its proportions
    None,
}

/// Pixel statistics by name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Statistics {
    /// ImageNet's
    Imagenet,
    /// Of the training pictures
    Measured,
}

/// Trains, and says where everything is.
pub(super) fn run(args: &Args, gpu: &GpuOptions) -> Result<()> {
    let (recipe, start) = match &args.resume {
        Some(run) => resume(args, run)?,
        None => begin(args)?,
    };
    recipe.validate()?;
    let gpu = super::open_gpu(gpu)?;
    let stop = stop_on_interrupt()?;
    let mut progress = Progress::new(gpu.adapter());
    let folder = match &start {
        Start::New(path) | Start::Resume(path, _) => path.clone(),
    };
    let outcome = pretrain(&gpu, &recipe, start, &stop, &mut |event| progress.show(&event));
    progress.finish();
    report(&folder, &outcome?);
    Ok(())
}

fn report(folder: &Path, outcome: &Outcome) {
    let Outcome { step, held_out_loss, mean_color_loss, .. } = *outcome;
    say!(
        "held-out loss {held_out_loss:.4} after {step} steps; predicting each image's mean colour: \
         {mean_color_loss:.4} ({:.0} % of it left)",
        100.0 * held_out_loss / mean_color_loss
    );
    say!(
        "{} of training, {:.1} % of it waiting for data{}",
        format::duration(outcome.seconds),
        100.0 * outcome.waiting,
        match outcome.skipped {
            0 => String::new(),
            n => format!("; {n} steps skipped because they were not finite"),
        }
    );
    say!("pictures     {}", outcome.pictures.display());
    say!("loss curve   {}", folder.join("loss.png").display());
    say!("checkpoint   {}", outcome.checkpoint.display());
    if !outcome.complete {
        say!("stopped early; go on with: webmae pretrain --resume {}", folder.display());
        std::process::exit(INTERRUPTED);
    }
    say!("try it       webmae reconstruct --weights {} IMAGE", folder.display());
}

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: i32 = 130;

/// A flag that Ctrl-C sets; the second one ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        eprintln!("\nfinishing this step and saving; Ctrl-C again stops at once");
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::config("Ctrl-C", format!("its handler cannot be installed: {e}")))?;
    Ok(stop)
}

fn resume(args: &Args, run: &Path) -> Result<(Recipe, Start)> {
    let (path, checkpoint, broken) = checkpoints::latest(run)?;
    for error in broken {
        eprintln!("warning: {error}; taking an earlier one");
    }
    let mut recipe = read_config(run).map_or_else(|_| checkpoint.meta.recipe.clone(), |c| c.recipe);
    if let Some(data) = &args.data {
        recipe.data.data.clone_from(data);
    }
    if let Some(threads) = args.threads {
        recipe.data.threads = threads;
    }
    if let Some(length) = length(args) {
        recipe.length = length;
    }
    say!("going on from {} (step {})", path.display(), checkpoint.meta.step);
    Ok((recipe, Start::Resume(run.to_path_buf(), Box::new(checkpoint))))
}

fn length(args: &Args) -> Option<Length> {
    args.steps.map(Length::Steps).or(args.epochs.map(Length::Epochs))
}

fn begin(args: &Args) -> Result<(Recipe, Start)> {
    let model = args.model.config("tiny")?;
    let options = &args.recipe;
    let data = args.data.clone().unwrap_or_else(|| "synthetic".to_owned());
    let is_synthetic = data.starts_with("synthetic");
    let default_length = if is_synthetic { Length::Steps(500) } else { Length::Epochs(100.0) };
    let length = length(args).unwrap_or(default_length);
    let warmup = match (options.warmup_steps, options.warmup_epochs, length) {
        (Some(steps), ..) => Length::Steps(steps),
        (None, Some(epochs), _) => Length::Epochs(epochs),
        (None, None, Length::Steps(steps)) => Length::Steps(steps / 10),
        (None, None, Length::Epochs(epochs)) => Length::Epochs(epochs / 10.0),
    };
    let preset = args.model.preset_name("tiny");
    let out = args.out.clone().unwrap_or_else(|| {
        let name = Path::new(&data).file_name().unwrap_or_default().to_string_lossy();
        let name = name.split(':').next().unwrap_or("data").to_owned();
        next_free(Path::new("runs"), &format!("{name}-{preset}"))
    });
    let recipe = Recipe {
        data: DataRecipe {
            data,
            held_out: options.held_out.clone(),
            class_prefix: options.class_prefix.clone(),
            apply_exif: !options.ignore_exif,
            strict: options.strict,
            synthetic_len: options.synthetic_images,
            augment: augment(options),
            normalization: normalization(options, &model)?,
            held_out_images: options.held_out_images,
            pictures: options.pictures,
            threads: args.threads.unwrap_or(0),
        },
        // Small batches make many updates in little time, which a first look needs.
        batch_size: options.batch_size.unwrap_or(if is_synthetic { 16 } else { 64 }),
        grad_accum: options.grad_accum,
        length,
        warmup,
        blr: options.blr.unwrap_or(match preset {
            "tiny" => 4e-3,
            "small" => 1e-3,
            _ => 1.5e-4,
        }),
        lr: options.lr.or((is_synthetic && options.blr.is_none()).then_some(1.5e-3)),
        min_lr: options.min_lr,
        optimizer: AdamW {
            beta1: options.beta1,
            beta2: options.beta2,
            eps: 1e-8,
            weight_decay: options.weight_decay,
            clip_norm: options.clip_grad,
        },
        seed: options.seed,
        eval_every: options.eval_every.unwrap_or(if is_synthetic { 0.2 } else { 1.0 }),
        pictures_every: options.pictures_every.unwrap_or(if is_synthetic { 0.2 } else { 5.0 }),
        checkpoint_every: options.checkpoint_every.unwrap_or(if is_synthetic { 0.2 } else { 1.0 }),
        keep_checkpoints: options.keep_checkpoints,
        model,
    };
    Ok((recipe, Start::New(out)))
}

fn augment(options: &RecipeArgs) -> Augment {
    let crop = match options.crop {
        CropChoice::Random => Augment::pretrain().crop,
        CropChoice::Fixed => Crop::RandomFixed,
        CropChoice::Center => Augment::center().crop,
        CropChoice::None => Crop::None,
    };
    let jitter = options.color_jitter.then(ColorJitter::paper);
    Augment { crop, flip: !options.no_flip, jitter }
}

fn normalization(options: &RecipeArgs, model: &ModelConfig) -> Result<NormalizationChoice> {
    if let (Some(mean), Some(std)) = (&options.mean, &options.std) {
        let given = Normalization::new(mean.clone(), std.clone())?;
        return Ok(NormalizationChoice::Given(given));
    }
    Ok(match options.normalization {
        Some(Statistics::Imagenet) => NormalizationChoice::Imagenet,
        Some(Statistics::Measured) => NormalizationChoice::Measured,
        None if model.channels == 3 => NormalizationChoice::Imagenet,
        None => NormalizationChoice::Measured,
    })
}
