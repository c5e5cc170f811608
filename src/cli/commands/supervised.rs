//! The commands that train with labels: `linprobe`, `finetune` and `train`.

use std::path::PathBuf;

use crate::cli::args::adamw::AdamWArgs;
use crate::cli::args::defaults::show;
use crate::cli::args::head;
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::regular::RegularArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::args::weights::OverrideArgs;
use crate::cli::execute::execute;
use crate::config::ModelConfig;
use crate::data::{Normalization, SourceOptions, open_split};
use crate::error::{Error, Result};
use crate::model::classifier::{Head, Pool, Trainable};
use crate::model::params::is_decoder;
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::tensor::TensorMap;
use crate::train::labels::labelled;
use crate::train::paper::IMAGENET_IMAGES;
use crate::train::recipe::{NormalizationChoice, Recipe, overrule};
use crate::train::run::Start;
use crate::weights::FileKind;

/// Options of `webmae linprobe`.
#[derive(Debug, clap::Args)]
#[command(mut_args(show(&linprobe_defaults())))]
#[command(after_help = "\
The encoder stays as it is; BatchNorm without affine and a linear layer are trained on its
features, with LARS as in the paper. The paper's base learning rate is for ImageNet's 1.28 million
pictures; LARS moves the weights by a share of themselves a step, so with fewer pictures, and
steps, the default is larger in proportion.

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
#[command(mut_args(show(&finetune_defaults())))]
#[command(after_help = "\
The defaults are the paper's recipe; --recipe plain has crops and flips only.

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
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
    /// What is trained: all, the last N blocks, half (the MLP of the last block), or none (the head alone)
    #[arg(long, value_name = "N|half|all|none", conflicts_with = "resume")]
    #[arg(value_parser = parse_trainable)]
    trainable_blocks: Option<Trainable>,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
    #[command(flatten)]
    adamw: AdamWArgs,
}

/// Options of `webmae train`.
#[derive(Debug, clap::Args)]
#[command(mut_group("ModelArgs", |group| group.conflicts_with("resume")))]
#[command(mut_args(show(&train_defaults())))]
#[command(after_help = "\
The supervised baseline: the same classifier as `finetune`, from random values. --recipe strong
is the paper's (appendix A.2, Table 11) without its moving average of weights, and shorter: the
paper's length is --epochs 300 --warmup-epochs 20. --recipe plain has crops and flips only, and
AdamW as in fine-tuning.

Examples:
  webmae train --data CIFAR --preset tiny
  webmae train --data PHOTOS --preset small --recipe plain
  webmae train --data PHOTOS --preset plain --pool cls")]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How tokens become one feature
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
    #[command(flatten)]
    adamw: AdamWArgs,
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
    /// Pixel statistics that the weights come with.
    normalization: Option<Normalization>,
    tensors: TensorMap,
    origin: Option<String>,
    /// How it was pooled, if it comes from a classifier that says so.
    pool: Option<Pool>,
}

/// Pictures with labels to learn from.
struct Pictures<'a> {
    data: &'a str,
    class_names: Vec<String>,
    /// Number of them.
    count: usize,
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
        let model = encoder.model.clone();
        let Pictures { data, class_names, count } = Pictures::open(&self.common, &model)?;
        let mut recipe = Recipe::linprobe(model, data, class_names, count);
        self.common.apply(&mut recipe);
        overrule_pool(&mut recipe, self.pool);
        Ok(encoder.start(recipe, &self.common, "linprobe"))
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
        let model = encoder.model.clone();
        let Pictures { data, class_names, .. } = Pictures::open(&self.common, &model)?;
        let mut recipe = match self.trainable_blocks {
            None => Recipe::finetune(model, data, class_names),
            Some(trainable) => Recipe::partial(model, data, class_names, trainable),
        };
        if self.regular.is_plain() {
            recipe = recipe.crops_and_flips_only();
        }
        self.common.apply(&mut recipe);
        overrule_pool(&mut recipe, self.pool.or(encoder.pool));
        if let (None, Some(classify)) = (self.pool, &recipe.classify) {
            say!("tokens become one feature by {} (--pool)", head::name(classify.pool));
        }
        self.regular.apply(&mut recipe);
        self.adamw.apply(&mut recipe);
        self.memory.apply(&mut recipe);
        Ok(encoder.start(recipe, &self.common, "finetune"))
    }
}

impl TrainArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        let model = self.model.config("tiny")?;
        let encoder = GivenEncoder::fresh(model.clone());
        let Pictures { data, class_names, .. } = Pictures::open(&self.common, &model)?;
        let mut recipe = match self.regular.is_plain() {
            false => Recipe::train_from_scratch(model, data, class_names),
            true => Recipe::train_plainly(model, data, class_names),
        };
        self.common.apply(&mut recipe);
        overrule_pool(&mut recipe, self.pool);
        self.regular.apply(&mut recipe);
        self.adamw.apply(&mut recipe);
        self.memory.apply(&mut recipe);
        Ok(encoder.start(recipe, &self.common, "train"))
    }
}

impl WeightsArgs {
    fn open(&self) -> Result<GivenEncoder> {
        let path = self.weights.as_ref().expect("required unless a run is resumed");
        let (weights, normalization, whose) =
            self.overrides.open_for(path, FileKind::EncoderOnly, false)?;
        say!("{}, pixels normalised with {whose}", weights.file.display());
        let mut pool = None;
        if weights.kind == FileKind::Classifier {
            say!("its head is not used: training makes its own");
            let full = weights.head.as_ref().filter(|head| head.head == Head::Full);
            pool = full.map(|head| head.pool);
        }
        let tensors = weights.tensors.into_iter();
        Ok(GivenEncoder {
            model: weights.config,
            normalization: Some(normalization),
            tensors: tensors
                .filter(|(name, _)| !is_decoder(name) && !name.starts_with("head"))
                .collect(),
            origin: Some(weights.file.display().to_string()),
            pool,
        })
    }
}

impl GivenEncoder {
    /// One with random values.
    pub(crate) fn fresh(model: ModelConfig) -> Self {
        Self { model, normalization: None, tensors: TensorMap::new(), origin: None, pool: None }
    }

    /// A run of `recipe` that begins with this encoder; `kind` is for the folder's name.
    fn start(self, mut recipe: Recipe, common: &CommonArgs, kind: &str) -> (Recipe, Start) {
        let normalization = self.normalization.map(NormalizationChoice::Given);
        overrule(&mut recipe.data.normalization, normalization);
        if let Some(classify) = &mut recipe.classify {
            classify.weights = self.origin;
        }
        let folder = common.run.folder(&recipe.data.data, kind);
        (recipe, Start::New(folder, self.tensors))
    }
}

impl<'a> Pictures<'a> {
    /// Those that the options name, as `model` takes them.
    fn open(common: &'a CommonArgs, model: &ModelConfig) -> Result<Self> {
        let CommonArgs { run, data: pictures, rate, .. } = common;
        let data = run.data.as_deref().ok_or_else(|| {
            let problem = "is missing: class folders or CIFAR-10 batches, see --help";
            Error::config(Setting::Data, problem)
        })?;
        let options = SourceOptions {
            apply_exif: !pictures.ignore_exif,
            seed: rate.seed.unwrap_or_default(),
            ..pictures.files.source_options(model)
        };
        let split = open_split(data, pictures.held_out.as_deref(), &options)?;
        let train = labelled(split, Setting::Data)?.split.train;
        Ok(Self { data, class_names: train.class_names().to_vec(), count: train.len() })
    }
}

fn overrule_pool(recipe: &mut Recipe, given: Option<Pool>) {
    if let Some(classify) = &mut recipe.classify {
        overrule(&mut classify.pool, given);
    }
}

/// A recipe as `--help` shows it, of a preset.
fn shown(recipe: fn(ModelConfig, &str, Vec<String>) -> Recipe, preset: &str) -> Recipe {
    recipe(ModelConfig::preset(preset).expect("a preset"), "pictures", Vec::new())
}

/// What `webmae linprobe --help` says of options that are not given.
fn linprobe_defaults() -> Vec<(&'static str, Recipe)> {
    let probe = |images| {
        let model = ModelConfig::preset("vit-b").expect("a preset");
        Recipe::linprobe(model, "pictures", Vec::new(), images)
    };
    vec![("", probe(IMAGENET_IMAGES)), ("with few pictures", probe(1))]
}

/// What `webmae finetune --help` says of options that are not given.
fn finetune_defaults() -> Vec<(&'static str, Recipe)> {
    let base = shown(Recipe::finetune, "vit-b");
    vec![
        ("", base.clone()),
        ("from 24 blocks on", shown(Recipe::finetune, "vit-l")),
        ("from 32 on", shown(Recipe::finetune, "vit-h")),
        ("with --recipe plain", base.crops_and_flips_only()),
    ]
}

/// What `webmae train --help` says of options that are not given.
fn train_defaults() -> Vec<(&'static str, Recipe)> {
    vec![
        ("", shown(Recipe::train_from_scratch, "vit-b")),
        ("from 24 blocks on", shown(Recipe::train_from_scratch, "vit-l")),
        ("with --recipe plain", shown(Recipe::train_plainly, "vit-b")),
    ]
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
    fn parts_have_names() {
        assert_eq!(parse_trainable("half"), Ok(Trainable::Half));
        assert_eq!(parse_trainable("3"), Ok(Trainable::Blocks(3)));
        assert_eq!(parse_trainable("0"), Ok(Trainable::None));
        assert!(parse_trainable("most").is_err());
    }
}
