//! Options of `webmae bench`.

use std::path::PathBuf;

use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::{ModelArgs, size};
use crate::measure::Repeats;
use crate::measure::profile::Listed;

/// Options of `webmae bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Workloads (image/patch, encoder, decoder; images per forward pass and per training step):
  W1  tiny   32/4    192×6     96×2   64, 64
  W2  small  96/8    384×12   192×4   16, 16
  W3  vit-b  224/16  768×12   512×8    1, 4 (64 on a GPU)
  W4  plain  256/32  1024×6   512×6    8, 8
Model options change them.

Examples:
  webmae bench                                  everything
  webmae bench W1 --train --profile             where the time of a training step goes
  webmae bench W3 --kernel gemm=64x64/8x8/k8    with these tiles for all matrix products
  webmae bench W3 --batch-size 16 --json
  webmae bench W1 W2 --save before.json         keep a run …
  webmae bench --compare before.json            … and see what changed since
  webmae bench --compare before.json --fail-below 0.95
  webmae bench --data PHOTOS                    batches prepared per second, without a GPU")]
pub(crate) struct Args {
    /// Workloads to run [default: all; with --compare those of the saved run]
    #[arg(value_name = "W1|W2|W3|W4")]
    pub workloads: Vec<String>,
    /// Only the forward pass and the loss
    #[arg(long, conflicts_with = "train")]
    pub forward: bool,
    /// Only the training step
    #[arg(long)]
    pub train: bool,
    /// Images per batch [default: the workload's; with --compare the saved run's; 64 with --data]
    #[arg(long, value_name = "N", value_parser = size())]
    pub batch_size: Option<u32>,
    /// Timed samples; a sample is one step, or, where that takes less than half a second, as many as last that
    /// long (on a GPU four at least)
    #[arg(long, value_name = "N", default_value = "10", value_parser = size())]
    pub steps: u32,
    /// Steps before the timed ones
    #[arg(long, value_name = "N", default_value = "2")]
    pub warmup: u16,
    /// Also print each kernel's share of the time and the ten most expensive dispatches, or all of them (on a GPU
    /// from timestamp queries); with --data the time of each stage
    #[arg(long, value_name = "all", num_args = 0..=1, default_missing_value = SLOWEST)]
    #[arg(value_parser = listed)]
    pub profile: Option<Listed>,
    /// Use this variant of a kernel, e.g. gemm=64x64/8x8/k8, as `webmae tune` names tiles; may be given several
    /// times. What there is: gemm=TILE, reduction=barriers|subgroups, cooperative=off, checks=on (those at run
    /// time that browsers insist on)
    #[arg(long = "kernel", value_name = "OP=NAME", conflicts_with = "data")]
    pub kernels: Vec<String>,
    /// Measure how fast batches of these pictures are prepared, instead of the workloads: anything
    /// that `webmae pretrain --data` takes, at 224 × 224 unless model options say otherwise
    #[arg(long, value_name = "PATH", help_heading = "Loader")]
    #[arg(conflicts_with_all = ["workloads", "forward", "train", "save", "compare", "recompute", "precision"])]
    pub data: Option<String>,
    /// Keep the run in this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub save: Option<PathBuf>,
    /// Run what the run in this file ran, and print how much faster it is now
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub compare: Option<PathBuf>,
    /// Fail if a ratio is below this one, e.g. 0.95
    #[arg(long, value_name = "RATIO", requires = "compare", help_heading = "Comparison")]
    #[arg(value_parser = ratio)]
    pub fail_below: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

impl Args {
    /// How often things are run.
    pub(crate) fn repeats(&self) -> Repeats {
        Repeats { warmup: self.warmup.into(), samples: self.steps as usize }
    }
}

/// What an option without a value stands for.
const SLOWEST: &str = "slowest";

/// Parses which dispatches are listed.
fn listed(text: &str) -> std::result::Result<Listed, String> {
    match text {
        SLOWEST => Ok(Listed::Slowest),
        "all" => Ok(Listed::All),
        _ => Err("write --profile or --profile all; workloads stand before it".to_owned()),
    }
}

/// Parses a ratio of speeds.
fn ratio(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(ratio),
        _ => Err(format!("{text:?} is no ratio above 0; write e.g. 0.95")),
    }
}
