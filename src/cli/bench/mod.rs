//! `webmae bench`: how fast the reference workloads run on this adapter, and how fast batches are
//! prepared.

mod against;
mod loader;
mod print;
mod runs;

use std::path::PathBuf;

use serde::Serialize;

use super::memory_args::MemoryArgs;
use super::model_args::{ModelArgs, size};
use super::open_device;
use crate::bench::Repeats;
use crate::bench::compare::Ratio;
use crate::bench::gemm::best_gflops;
use crate::bench::measure::measure;
use crate::bench::record::{Record, WorkloadResult};
use crate::bench::step::StepSpec;
use crate::error::{Error, Result};
use crate::program::{Device, DeviceOptions};
use against::Against;

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
  webmae bench W3 --batch-size 16 --json
  webmae bench W1 W2 --save before.json         keep a run …
  webmae bench --compare before.json            … and see what changed since
  webmae bench --compare before.json --fail-below 0.95
  webmae bench --data PHOTOS                    batches prepared per second, without a GPU")]
pub(super) struct Args {
    /// Workloads to run [default: all; with --compare those of the saved run]
    #[arg(value_name = "W1|W2|W3|W4")]
    workloads: Vec<String>,
    /// Only the forward pass and the loss
    #[arg(long, conflicts_with = "train")]
    forward: bool,
    /// Only the training step
    #[arg(long)]
    train: bool,
    /// Images per batch [default: the workload's; with --compare the saved run's; 64 with --data]
    #[arg(long, value_name = "N", value_parser = size())]
    batch_size: Option<u32>,
    /// Timed samples; a sample is one step, or several where steps are short
    #[arg(long, value_name = "N", default_value = "10", value_parser = size())]
    steps: u32,
    /// Steps before the timed ones
    #[arg(long, value_name = "N", default_value = "2")]
    warmup: u16,
    /// Also print each kernel's share of the time and the ten most expensive dispatches (from
    /// timestamp queries); with --data the time of each stage
    #[arg(long)]
    profile: bool,
    /// Measure how fast batches of these pictures are prepared, instead of the workloads: anything
    /// that `webmae pretrain --data` takes, at 224 × 224 unless model options say otherwise
    #[arg(long, value_name = "PATH", help_heading = "Loader")]
    #[arg(conflicts_with_all = ["workloads", "forward", "train", "save", "compare", "recompute", "precision"])]
    data: Option<String>,
    /// Keep the run in this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    save: Option<PathBuf>,
    /// Run what the run in this file ran, and print how much faster it is now
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    compare: Option<PathBuf>,
    /// Fail if a ratio is below this one, e.g. 0.95
    #[arg(long, value_name = "RATIO", requires = "compare", help_heading = "Comparison")]
    #[arg(value_parser = ratio)]
    fail_below: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    record: &'a Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Vec<Ratio>>,
}

/// Measures and prints.
pub(super) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    if let Some(data) = &args.data {
        return loader::run(args, data);
    }
    let saved = args.compare.as_deref().map(Record::load).transpose()?;
    if let Some(path) = &args.save {
        Record::check_target(path)?;
    }
    let runs = runs::choose(args, saved.as_ref())?;
    let against = saved.map(|saved| Against { saved, fail_below: args.fail_below });
    let device = open_device(options)?;
    let record = measure_all(args, &device, &runs)?;
    if let Some(path) = &args.save {
        record.save(path)?;
    }
    if args.json {
        let compared = against.as_ref().map(|against| against.ratios(&record));
        print_json("--json", &Output { record: &record, compared })?;
    } else if let Some(against) = &against {
        against.print(&record);
    }
    against.map_or(Ok(()), |against| against.judge(&record))
}

fn measure_all(args: &Args, device: &Device, runs: &[runs::Run]) -> Result<Record> {
    let mut record = Record::new(device, best_gflops(device)?);
    if !args.json {
        print::head(&record);
    }
    for run in runs {
        let model = args.model.config(run.workload.preset)?;
        let batch_size = run
            .batch_size
            .unwrap_or_else(|| run.workload.batch_size(run.mode, device.target().processor));
        let runs::Run { mode, recompute, precision, .. } = *run;
        let spec = StepSpec { model, mode, batch_size, recompute, precision };
        let measured = measure(device, spec, args.repeats(), args.profile)?;
        let result = WorkloadResult::new(run.workload.name, &measured, record.gemm.gflops);
        if !args.json {
            print::row(&result);
            if args.profile {
                print::profile(result.profile.as_ref());
            }
        }
        record.results.push(result);
    }
    Ok(record)
}

impl Args {
    fn repeats(&self) -> Repeats {
        Repeats { warmup: self.warmup.into(), samples: self.steps as usize }
    }
}

/// Parses a ratio of speeds.
fn ratio(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(ratio),
        _ => Err(format!("{text:?} is no ratio above 0; write e.g. 0.95")),
    }
}

fn print_json(option: &str, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    say!("{}", text.map_err(|e| Error::config(option, e.to_string()))?);
    Ok(())
}
