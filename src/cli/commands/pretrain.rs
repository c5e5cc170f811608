//! `webmae pretrain`.

use clap::ValueEnum;

use crate::cli::args::adamw::AdamWArgs;
use crate::cli::args::defaults::show;
use crate::cli::args::dropout::DropoutArgs;
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::execute::execute;
use crate::config::ModelConfig;
use crate::data::sources::synthetic::is_synthetic;
use crate::data::{Normalization, SourceOptions, open_split};
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::tensor::TensorMap;
use crate::train::labels::labelled;
use crate::train::recipe::{NormalizationChoice, ProbeRecipe, Recipe, overrule};
use crate::train::run::Start;

/// Options of `webmae pretrain`.
#[derive(Debug, clap::Args)]
#[command(mut_group("ModelArgs", |group| group.conflicts_with("resume")))]
#[command(mut_group("DropoutArgs", |group| group.conflicts_with("resume")))]
#[command(mut_args(show(&defaults())))]
#[command(after_help = "\
Examples:
  webmae pretrain --data PHOTOS --preset small --epochs 200
  webmae pretrain --data CIFAR --batch-size 256 --blr 1.5e-4 --norm-pix-loss --probe-data CIFAR
  webmae pretrain --resume runs/PHOTOS-small-1

Without --data it trains on `synthetic` pictures.

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
    adamw: AdamWArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    dropout: DropoutArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What only pre-training has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(conflicts_with = "resume")]
struct MaskedArgs {
    /// Number of synthetic pictures
    #[arg(long, value_name = "N")]
    synthetic_images: Option<usize>,
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

    /// Epochs between reconstructions; 0 draws in the end only
    #[arg(long, value_name = "N", help_heading = "Output")]
    pictures_every: Option<f64>,
    /// Pictures in reconstructions.png
    #[arg(long, value_name = "N", help_heading = "Output")]
    pictures: Option<usize>,
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
    #[arg(long, value_name = "N", requires = "probe_data")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    probe_every: Option<u64>,
    /// Pictures per step of the probe [default: as many as pre-training's]
    #[arg(long, value_name = "N", requires = "probe_data")]
    probe_batch_size: Option<usize>,
    /// Base learning rate of the probe
    #[arg(long, value_name = "RATE", requires = "probe_data")]
    probe_blr: Option<f64>,
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
        let run = &self.common.run;
        let data = run.data.as_deref().unwrap_or("synthetic");
        // Drawn pictures are for a first look, which should not take long.
        let usual = if is_synthetic(data) { "nano" } else { "tiny" };
        let preset = self.model.preset_name(usual);
        // Options of the model overrule the preset's recipe, as all others do.
        let mut recipe = Recipe::pretrain(ModelConfig::preset(preset)?, data);
        recipe.model = self.model.config(usual)?;
        self.dropout.apply(&mut recipe.model)?;
        self.common.apply(&mut recipe)?;
        self.masked.apply(&mut recipe)?;
        self.adamw.apply(&mut recipe);
        self.memory.apply(&mut recipe);
        recipe.probe = self.probe.beside(&recipe)?;
        if recipe.model.emb_dropout > 0.0 {
            say!(
                "--emb-dropout is kept for training with labels: in pre-training it drops nothing"
            );
        }
        Ok((recipe, Start::New(run.folder(data, preset), TensorMap::new())))
    }
}

impl ProbeArgs {
    /// The probe that they ask for, beside the pre-training of `recipe`.
    fn beside(&self, recipe: &Recipe) -> Result<Option<ProbeRecipe>> {
        let Some(data) = &self.probe_data else { return Ok(None) };
        let options = SourceOptions {
            seed: recipe.seed,
            ..SourceOptions::for_model(
                &recipe.model,
                self.probe_class_prefix.as_deref(),
                &recipe.data.exclude,
            )
        };
        let labelled = labelled(open_split(data, None, &options)?, Setting::ProbeData)?;
        let class_names = labelled.split.train.class_names().to_vec();
        let mut probe = ProbeRecipe::new(recipe, data, class_names);
        probe.class_prefix.clone_from(&self.probe_class_prefix);
        overrule(&mut probe.every, self.probe_every);
        overrule(&mut probe.batch_size, self.probe_batch_size);
        overrule(&mut probe.blr, self.probe_blr);
        overrule(&mut probe.pool, self.probe_pool);
        Ok(Some(probe))
    }
}

impl MaskedArgs {
    fn apply(&self, recipe: &mut Recipe) -> Result<()> {
        let channels = recipe.model.channels;
        let data = &mut recipe.data;
        data.normalization = match (&self.mean, &self.std, self.normalization) {
            (Some(mean), Some(std), _) => {
                NormalizationChoice::Given(Normalization::new(mean.clone(), std.clone())?)
            }
            (.., Some(Statistics::Imagenet)) => NormalizationChoice::Imagenet,
            (.., Some(Statistics::Measured)) => NormalizationChoice::Measured,
            (.., None) => NormalizationChoice::usual(channels),
        };
        overrule(&mut data.synthetic_len, self.synthetic_images);
        overrule(&mut data.pictures, self.pictures);
        data.tokens.clone_from(&self.tokens);
        overrule(&mut recipe.pictures_every, self.pictures_every);
        Ok(())
    }
}

/// What `--help` says of options that are not given.
fn defaults() -> Vec<(&'static str, Recipe)> {
    let recipe = |preset, data| {
        let mut recipe = Recipe::pretrain(ModelConfig::preset(preset).expect("a preset"), data);
        recipe.probe = Some(ProbeRecipe::new(&recipe, data, Vec::new()));
        recipe
    };
    vec![
        ("", recipe("tiny", "pictures")),
        ("for small", recipe("small", "pictures")),
        ("for larger ones", recipe("vit-b", "pictures")),
        ("for synthetic", recipe("nano", "synthetic")),
    ]
}
