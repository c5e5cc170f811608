//! `webmae pretrain`.

use super::model_args::ModelArgs;
use crate::error::Result;
use crate::gpu::GpuOptions;

/// Options of `webmae pretrain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    model: ModelArgs,
}

/// Trains.
pub(super) fn run(args: Args, _gpu: &GpuOptions) -> Result<()> {
    args.model.config("tiny").map(|_| ())
}
