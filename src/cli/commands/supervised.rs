//! The commands that train with labels: `linprobe`, `finetune` and `train`.

use std::path::PathBuf;

use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::regular::RegularArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::args::weights::OverrideArgs;
use crate::cli::execute::execute;
use crate::config::ModelConfig;
use crate::data::{Augment, SourceOptions, open_split};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::classifier::{Pool, Trainable};
use crate::model::params::is_decoder;
use crate::ops::optimizer::Optimizer;
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::tensor::TensorMap;
use crate::train::labels::labelled;
use crate::train::recipe::{Classify, DataRecipe, Length, NormalizationChoice, PROBE_LARS, Recipe};
use crate::train::run::Start;
use crate::weights::FileKind;

/// More pictures than a data set can have; fits where numbers have 32 bits, too.
const EVERY_PICTURE: usize = u32::MAX as usize;

/// Options of `webmae linprobe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The encoder stays as it is; BatchNorm without affine and a linear layer are trained on its features, with
LARS (momentum 0.9, no decay, trust coefficient 0.001), for 90 epochs of batches of 256, as in the paper. Its
base learning rate of 0.1 is for ImageNet's 1.28 million pictures; LARS moves the weights by a share of
themselves a step, so with fewer pictures, and steps, the default is larger in proportion, up to 10.

With --crop center (or none) and --no-flip a picture always has the same feature: the features are then
extracted once, and training takes seconds.

Examples:
  webmae linprobe --weights runs/cifar-tiny-1 --data CIFAR
  webmae linprobe --weights runs/photos-small-1 --data PHOTOS --crop center --no-flip")]
pub(crate) struct LinprobeArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    common: CommonArgs,
    /// How tokens become one feature [default: cls where the model has a cls token, else mean]
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
}

/// Options of `webmae finetune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The defaults are the paper's recipe: AdamW (betas 0.9, 0.999, decay 0.05), a base learning rate of 5e-4 that
is multiplied by 0.65 (0.75 from 24 blocks on) from block to block towards the input, drop-path 0.1 (0.2 from
24 blocks on, 0.3 from 32), label smoothing 0.1, MixUp 0.8, CutMix 1.0, RandAugment (9, 0.5), random erasing
0.25; 100 epochs (50 from 24 blocks on), batches of 64.

--trainable-blocks freezes the rest: no gradients are computed for it, and no memory is taken.

Examples:
  webmae finetune --weights runs/cifar-tiny-1 --data CIFAR
  webmae finetune --weights vit-mae-base/ --data PHOTOS --trainable-blocks 4
  webmae finetune --resume runs/CIFAR-finetune-1")]
pub(crate) struct FinetuneArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    common: CommonArgs,
    /// How tokens become one feature
    #[arg(long, default_value = "mean", conflicts_with = "resume")]
    pool: Pool,
    /// What is trained: all, the last N blocks, half (the MLP of the last block), or none (the head alone)
    #[arg(long, value_name = "N|half|all|none", default_value = "all", conflicts_with = "resume")]
    #[arg(value_parser = parse_trainable)]
    trainable_blocks: Trainable,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
}

/// Options of `webmae train`.
#[derive(Debug, clap::Args)]
#[command(mut_group("ModelArgs", |group| group.conflicts_with("resume")))]
#[command(after_help = "\
The supervised baseline: the same classifier as `finetune`, from random values. --recipe strong is the paper's
(appendix A.2: base learning rate 1e-4, betas 0.9 and 0.95, decay 0.3, drop-path 0.1, and the augmentation of
fine-tuning); --recipe plain has crops and flips only (base learning rate 5e-4, betas 0.9 and 0.999, decay
0.05). 100 epochs, batches of 64.

Examples:
  webmae train --data CIFAR --preset tiny
  webmae train --data PHOTOS --preset small --recipe plain
  webmae train --data PHOTOS --preset plain --pool cls")]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How tokens become one feature
    #[arg(long, default_value = "mean", conflicts_with = "resume")]
    pool: Pool,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// Where the encoder comes from.
#[derive(Debug, clap::Args)]
struct WeightsArgs {
    /// Pre-trained: run folder, checkpoint, weights file (.safetensors, .pth) or Hugging Face folder
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "resume",
        required_unless_present = "resume"
    )]
    weights: Option<PathBuf>,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// Which encoder a run begins with.
pub(crate) struct GivenEncoder {
    model: ModelConfig,
    normalization: NormalizationChoice,
    tensors: TensorMap,
    origin: Option<String>,
}

/// What differs between the three commands.
struct Plan {
    kind: &'static str,
    encoder: GivenEncoder,
    classify: Classify,
    augment: Augment,
    optimizer: Optimizer,
    recompute: bool,
    precision: Precision,
    batch_size: usize,
    epochs: f64,
    /// By the number of training pictures.
    blr: fn(usize) -> f64,
}

/// Trains a linear layer on frozen features.
pub(crate) fn linprobe(args: &LinprobeArgs, device: &DeviceOptions) -> Result<()> {
    run(&args.common, &MemoryArgs::default(), device, || args.begin())
}

/// Trains the encoder, or a part of it, with a new head.
pub(crate) fn finetune(args: &FinetuneArgs, device: &DeviceOptions) -> Result<()> {
    run(&args.common, &args.memory, device, || args.begin())
}

/// Trains a classifier from random values.
pub(crate) fn train(args: &TrainArgs, device: &DeviceOptions) -> Result<()> {
    run(&args.common, &args.memory, device, || args.begin())
}

fn run(
    common: &CommonArgs,
    memory: &MemoryArgs,
    device: &DeviceOptions,
    begin: impl FnOnce() -> Result<(Recipe, Start)>,
) -> Result<()> {
    let (recipe, start) = match &common.run.resume {
        Some(run) => common.run.resumed(run, true, memory)?,
        None => begin()?,
    };
    execute(&recipe, start, device)
}

impl LinprobeArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        self.begin_on(self.weights.open()?)
    }

    /// The same on an encoder at hand.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin_on(&self, encoder: GivenEncoder) -> Result<(Recipe, Start)> {
        let pool = self.pool.unwrap_or(Pool::usual(&encoder.model));
        let classify = Classify { weights: encoder.origin.clone(), ..Classify::probe(pool) };
        let random = Augment::classify().crop;
        let plan = Plan {
            kind: "linprobe",
            encoder,
            classify,
            augment: self.common.data.augment(random, random),
            optimizer: Optimizer::Lars(PROBE_LARS),
            recompute: false,
            precision: Precision::F32,
            batch_size: 256,
            epochs: 90.0,
            blr: probe_blr,
        };
        plan.begin(&self.common)
    }
}

impl FinetuneArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        self.begin_on(self.weights.open()?)
    }

    /// The same on an encoder at hand.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin_on(&self, encoder: GivenEncoder) -> Result<(Recipe, Start)> {
        let depth = encoder.model.encoder.depth;
        let regular = &self.regular;
        let drop_path = match depth {
            ..24 => 0.1,
            24..32 => 0.2,
            _ => 0.3,
        };
        let layer_decay = if depth < 24 { 0.65 } else { 0.75 };
        let classify = Classify {
            trainable: self.trainable_blocks,
            layer_decay: regular.layer_decay.unwrap_or(layer_decay),
            weights: encoder.origin.clone(),
            ..regular.classify(self.pool, drop_path)
        };
        let plan = Plan {
            kind: "finetune",
            encoder,
            classify,
            augment: regular.augment(&self.common.data),
            optimizer: regular.optimizer(0.05, 0.999),
            recompute: self.memory.recompute(false),
            precision: self.memory.precision(Precision::F32),
            batch_size: 64,
            epochs: if depth < 24 { 100.0 } else { 50.0 },
            blr: |_| 5e-4,
        };
        plan.begin(&self.common)
    }
}

impl TrainArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        let model = self.model.config("tiny")?;
        let regular = &self.regular;
        let strong = regular.is_strong();
        let drop_path = if model.encoder.depth < 24 { 0.1 } else { 0.2 };
        let classify = Classify {
            layer_decay: regular.layer_decay.unwrap_or(1.0),
            ..regular.classify(self.pool, drop_path)
        };
        let plan = Plan {
            kind: "train",
            encoder: GivenEncoder::fresh(model),
            classify,
            augment: regular.augment(&self.common.data),
            optimizer: if strong {
                regular.optimizer(0.3, 0.95)
            } else {
                regular.optimizer(0.05, 0.999)
            },
            recompute: self.memory.recompute(false),
            precision: self.memory.precision(Precision::F32),
            batch_size: 64,
            epochs: 100.0,
            blr: if strong { |_| 1e-4 } else { |_| 5e-4 },
        };
        plan.begin(&self.common)
    }
}

impl GivenEncoder {
    /// One with random values.
    pub(crate) fn fresh(model: ModelConfig) -> Self {
        let normalization = match model.channels {
            3 => NormalizationChoice::Imagenet,
            _ => NormalizationChoice::Measured,
        };
        Self { model, normalization, tensors: TensorMap::new(), origin: None }
    }
}

impl WeightsArgs {
    fn open(&self) -> Result<GivenEncoder> {
        let path = self.weights.as_ref().expect("required unless a run is resumed");
        let (weights, normalization, whose) =
            self.overrides.open_for(path, FileKind::EncoderOnly, false)?;
        say!("{}, pixels normalised with {whose}", weights.file.display());
        if weights.kind == FileKind::Classifier {
            say!("its head is not used: training makes its own");
        }
        let tensors = weights.tensors.into_iter();
        Ok(GivenEncoder {
            model: weights.config,
            normalization: NormalizationChoice::Given(normalization),
            tensors: tensors
                .filter(|(name, _)| !is_decoder(name) && !name.starts_with("head"))
                .collect(),
            origin: Some(weights.file.display().to_string()),
        })
    }
}

impl Plan {
    /// The run that it and the common options make.
    fn begin(self, common: &CommonArgs) -> Result<(Recipe, Start)> {
        let CommonArgs { run, data: pictures, rate, output } = common;
        let data = run.data.clone().ok_or_else(|| {
            let problem = "is missing: class folders or CIFAR-10 batches, see --help";
            Error::config(Setting::Data, problem)
        })?;
        let Self { encoder, mut classify, .. } = self;
        let options = SourceOptions {
            apply_exif: !pictures.ignore_exif,
            seed: rate.seed,
            ..SourceOptions::for_model(&encoder.model, pictures.class_prefix.as_deref())
        };
        let split = open_split(&data, pictures.held_out.as_deref(), &options)?;
        let train = labelled(split, Setting::Data)?.split.train;
        classify.class_names = train.class_names().to_vec();
        let length = run.length().unwrap_or(Length::Epochs(self.epochs));
        let out = run.folder(&data, self.kind);
        let recipe = Recipe {
            model: encoder.model,
            data: DataRecipe {
                data,
                held_out: pictures.held_out.clone(),
                class_prefix: pictures.class_prefix.clone(),
                apply_exif: !pictures.ignore_exif,
                strict: pictures.strict,
                synthetic_len: 0,
                augment: self.augment,
                normalization: encoder.normalization,
                held_out_images: pictures.held_out_images.unwrap_or(EVERY_PICTURE),
                pictures: 0,
                threads: run.threads.unwrap_or(0),
                tokens: None,
            },
            batch_size: rate.batch_size.unwrap_or(self.batch_size),
            grad_accum: rate.grad_accum,
            length,
            warmup: rate.warmup(length),
            blr: rate.blr.unwrap_or_else(|| (self.blr)(train.len())),
            lr: rate.lr,
            min_lr: rate.min_lr,
            recompute: self.recompute,
            precision: self.precision,
            optimizer: self.optimizer,
            seed: rate.seed,
            eval_every: output.eval_every.unwrap_or(1.0),
            pictures_every: 0.0,
            checkpoint_every: output.checkpoint_every.unwrap_or(1.0),
            keep_checkpoints: output.keep_checkpoints,
            classify: Some(classify),
            probe: None,
        };
        Ok((recipe, Start::New(out, encoder.tensors)))
    }
}

/// The paper's 0.1 for ImageNet, such that the sum of the learning rate over all steps stays the same: LARS
/// moves weights by a share of themselves, and few steps would not leave the beginning.
fn probe_blr(images: usize) -> f64 {
    const IMAGENET: f64 = 1_281_167.0;
    (0.1 * IMAGENET / images as f64).clamp(0.1, 10.0)
}

fn parse_trainable(text: &str) -> std::result::Result<Trainable, String> {
    match text {
        "all" => Ok(Trainable::All),
        "half" => Ok(Trainable::Half),
        "none" | "0" => Ok(Trainable::None),
        number => match number.parse() {
            Ok(blocks) => Ok(Trainable::Blocks(blocks)),
            Err(_) => Err(format!("{text:?} is no number of blocks, and not half, all or none")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_and_probes_a_rate() {
        assert_eq!(parse_trainable("half"), Ok(Trainable::Half));
        assert_eq!(parse_trainable("3"), Ok(Trainable::Blocks(3)));
        assert_eq!(parse_trainable("0"), Ok(Trainable::None));
        assert!(parse_trainable("most").is_err());
        assert_eq!((probe_blr(1_281_167), probe_blr(600)), (0.1, 10.0));
    }
}
