//! The commands that train with labels: `linprobe`, `finetune` and `train`.

mod encoder;
mod finetune;
mod linprobe;
mod pictures;
mod train;

pub(crate) use encoder::GivenEncoder;
pub(crate) use finetune::FinetuneArgs;
pub(crate) use linprobe::LinprobeArgs;
pub(crate) use train::TrainArgs;

use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::execute::execute;
use crate::config::ModelConfig;
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::program::DeviceOptions;
use crate::train::recipe::{Recipe, overrule};
use crate::train::run::Start;

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

fn overrule_pool(recipe: &mut Recipe, given: Option<Pool>) {
    if let Some(classify) = &mut recipe.classify {
        overrule(&mut classify.pool, given);
    }
}

/// A recipe as `--help` shows it, of a preset.
fn shown(recipe: fn(ModelConfig, &str, Vec<String>) -> Recipe, preset: &str) -> Recipe {
    recipe(ModelConfig::preset(preset).expect("a preset"), "pictures", Vec::new())
}
