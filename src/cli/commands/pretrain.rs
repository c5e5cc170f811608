//! `webmae pretrain`.

use clap::ValueEnum;

use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::execute::execute;
use crate::config::ModelConfig;
use crate::data::{Augment, Crop, Normalization, SourceOptions, open_split};
use crate::error::Result;
use crate::kernels::Precision;
use crate::model::classifier::Pool;
use crate::ops::optimizer::{AdamW, Optimizer};
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::tensor::TensorMap;
use crate::train::labels::labelled;
use crate::train::recipe::{DataRecipe, Length, NormalizationChoice, OnlineProbe, Recipe};
use crate::train::run::Start;

/// Options of `webmae pretrain`.
#[derive(Debug, clap::Args)]
#[command(mut_group("ModelArgs", |group| group.conflicts_with("resume")))]
#[command(after_help = "\
Examples:
  webmae pretrain --data PHOTOS --preset small --epochs 200
  webmae pretrain --data CIFAR --batch-size 256 --blr 1.5e-4 --norm-pix-loss --probe-data CIFAR
  webmae pretrain --resume runs/PHOTOS-small-1

Without --data it trains on `synthetic` pictures; it takes 100 epochs (2200 steps for synthetic), batches of
64 (16), and a base learning rate of 4e-3 for tiny, 1e-3 for small, else 1.5e-4 (a rate of 1.5e-3 for synthetic).

A run's folder holds config.json, metrics.jsonl, TensorBoard events, loss.png,
reconstructions.png and checkpoints. Ctrl-C saves and says how to go on.")]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    masked: MaskedArgs,
    #[command(flatten)]
    probe: ProbeArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What only pre-training has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(conflicts_with = "resume")]
struct MaskedArgs {
    /// Number of synthetic pictures
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    synthetic_images: usize,
    /// Pixel statistics [default: imagenet for RGB, else measured]
    #[arg(long, value_enum, conflicts_with_all = ["mean", "std"])]
    normalization: Option<Statistics>,
    /// Mean of each channel, for values in 0..1
    #[arg(long, value_name = "X,…", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "X,…", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
    /// Every picture's tokens, for --target tokens: a .safetensors file with the tensor `tokens`
    /// [pictures, patches] and the header entry `names`, a JSON list
    #[arg(long, value_name = "FILE")]
    tokens: Option<String>,

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

    /// Epochs between reconstructions; 0 draws in the end only [default: 5, for synthetic 0.1]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pictures_every: Option<f64>,
    /// Pictures in reconstructions.png
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Output")]
    pictures: usize,
}

/// A linear probe beside pre-training.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Linear probe beside pre-training")]
#[group(conflicts_with = "resume")]
struct ProbeArgs {
    /// Labelled pictures; the encoder learns nothing from them
    #[arg(long, value_name = "PATH")]
    probe_data: Option<String>,
    /// Of class folders, use only those whose name starts so
    #[arg(long, value_name = "PREFIX", requires = "probe_data")]
    probe_class_prefix: Option<String>,
    /// Steps of pre-training between two of the probe
    #[arg(long, value_name = "N", default_value_t = 4, requires = "probe_data")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    probe_every: u64,
    /// Pictures per step of the probe [default: as many as pre-training's]
    #[arg(long, value_name = "N", requires = "probe_data")]
    probe_batch_size: Option<usize>,
    /// Base learning rate of the probe
    #[arg(long, value_name = "RATE", default_value_t = 20.0, requires = "probe_data")]
    probe_blr: f64,
    /// How tokens become one feature [default: cls where the model has a cls token, else mean]
    #[arg(long, requires = "probe_data")]
    probe_pool: Option<Pool>,
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
pub(crate) fn run(args: &Args, device: &DeviceOptions) -> Result<()> {
    let (recipe, start) = match &args.common.run.resume {
        Some(folder) => args.common.run.resumed(folder, false, &args.memory)?,
        None => args.begin()?,
    };
    execute(&recipe, start, device)
}

impl Args {
    /// A new run.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        let CommonArgs { run, data: pictures, rate, output } = &self.common;
        let masked = &self.masked;
        let model = self.model.config("tiny")?;
        let data = run.data.clone().unwrap_or_else(|| "synthetic".to_owned());
        let is_synthetic = data.starts_with("synthetic");
        // A first look takes a minute or two on two cores.
        let default_length = if is_synthetic { Length::Steps(2200) } else { Length::Epochs(100.0) };
        let length = run.length().unwrap_or(default_length);
        let random = Augment::pretrain().crop;
        let preset = self.model.preset_name("tiny");
        let out = run.folder(&data, preset);
        // Small batches make many updates in little time, which a first look needs.
        let batch_size = rate.batch_size.unwrap_or(if is_synthetic { 16 } else { 64 });
        let every = |given: Option<f64>, usual: f64| {
            given.unwrap_or(if is_synthetic { 0.1 } else { usual })
        };
        let recipe = Recipe {
            data: DataRecipe {
                data,
                held_out: pictures.held_out.clone(),
                class_prefix: pictures.class_prefix.clone(),
                apply_exif: !pictures.ignore_exif,
                strict: pictures.strict,
                synthetic_len: masked.synthetic_images,
                // Of drawn pictures there are as many as are needed, and no two pictures' parts are alike.
                augment: pictures.augment(random, if is_synthetic { Crop::None } else { random }),
                normalization: masked.normalization(&model)?,
                held_out_images: pictures.held_out_images.unwrap_or(256),
                pictures: masked.pictures,
                threads: run.threads.unwrap_or(0),
                tokens: masked.tokens.clone(),
            },
            batch_size,
            grad_accum: rate.grad_accum,
            length,
            warmup: rate.warmup(length),
            blr: rate.blr.unwrap_or(match preset {
                "tiny" => 4e-3,
                "small" => 1e-3,
                _ => 1.5e-4,
            }),
            lr: rate.lr.or((is_synthetic && rate.blr.is_none()).then_some(1.5e-3)),
            min_lr: rate.min_lr,
            recompute: self.memory.recompute(false),
            precision: self.memory.precision(Precision::F32),
            optimizer: Optimizer::AdamW(AdamW {
                beta1: masked.beta1,
                beta2: masked.beta2,
                eps: 1e-8,
                weight_decay: masked.weight_decay,
                clip_norm: masked.clip_grad,
            }),
            seed: rate.seed,
            eval_every: every(output.eval_every, 1.0),
            pictures_every: every(masked.pictures_every, 5.0),
            checkpoint_every: every(output.checkpoint_every, 1.0),
            keep_checkpoints: output.keep_checkpoints,
            classify: None,
            probe: self.probe.recipe(&model, batch_size, rate.seed)?,
            model,
        };
        Ok((recipe, Start::New(out, TensorMap::new())))
    }
}

impl ProbeArgs {
    fn recipe(
        &self,
        model: &ModelConfig,
        batch_size: usize,
        seed: u64,
    ) -> Result<Option<OnlineProbe>> {
        let Some(data) = &self.probe_data else { return Ok(None) };
        let options = SourceOptions {
            seed,
            ..SourceOptions::for_model(model, self.probe_class_prefix.as_deref())
        };
        let labelled = labelled(open_split(data, None, &options)?, Setting::ProbeData)?;
        Ok(Some(OnlineProbe {
            data: data.clone(),
            class_prefix: self.probe_class_prefix.clone(),
            class_names: labelled.split.train.class_names().to_vec(),
            every: self.probe_every,
            batch_size: self.probe_batch_size.unwrap_or(batch_size),
            blr: self.probe_blr,
            pool: self.probe_pool.unwrap_or(Pool::usual(model)),
        }))
    }
}

impl MaskedArgs {
    fn normalization(&self, model: &ModelConfig) -> Result<NormalizationChoice> {
        if let (Some(mean), Some(std)) = (&self.mean, &self.std) {
            let given = Normalization::new(mean.clone(), std.clone())?;
            return Ok(NormalizationChoice::Given(given));
        }
        Ok(match self.normalization {
            Some(Statistics::Imagenet) => NormalizationChoice::Imagenet,
            Some(Statistics::Measured) => NormalizationChoice::Measured,
            None if model.channels == 3 => NormalizationChoice::Imagenet,
            None => NormalizationChoice::Measured,
        })
    }
}
