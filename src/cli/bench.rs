//! `webmae bench`: how fast the reference workloads run on this adapter.

use serde_json::{Value, json};

use super::memory_args::MemoryArgs;
use super::model_args::{ModelArgs, size};
use super::open_gpu;
use crate::bench::{
    GEMM_EXTENT, Measurement, Mode, Repeats, WORKLOADS, Workload, gemm_gflops, measure,
};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, GpuOptions, Precision};

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
  webmae bench                        everything
  webmae bench W1 --train --profile   where the time of a training step goes
  webmae bench W3 --batch-size 16 --json")]
pub(super) struct Args {
    /// Workloads to run [default: all]
    #[arg(value_name = "W1|W2|W3|W4")]
    workloads: Vec<String>,
    /// Only the forward pass and the loss
    #[arg(long, conflicts_with = "train")]
    forward: bool,
    /// Only the training step
    #[arg(long)]
    train: bool,
    /// Images per batch [default: the workload's]
    #[arg(long, value_name = "N", value_parser = size())]
    batch_size: Option<u32>,
    /// Timed samples; a sample is one step, or several where steps are short
    #[arg(long, value_name = "N", default_value = "10", value_parser = size())]
    steps: u32,
    /// Steps before the timed ones
    #[arg(long, value_name = "N", default_value = "2")]
    warmup: u16,
    /// Also print the share of time of each kernel (from timestamp queries)
    #[arg(long)]
    profile: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// Measures and prints.
pub(super) fn run(args: &Args, options: &GpuOptions) -> Result<()> {
    let workloads = args.workloads()?;
    let modes: &[Mode] = match (args.forward, args.train) {
        (true, _) => &[Mode::Forward],
        (_, true) => &[Mode::Train],
        _ => &[Mode::Forward, Mode::Train],
    };
    let gpu = open_gpu(options)?;
    let best = gemm_gflops(&gpu)?;
    if !args.json {
        print_head(&gpu, best);
    }
    let repeats =
        Repeats { warmup: args.warmup.into(), samples: args.steps as usize, profile: args.profile };
    let mut results = Vec::new();
    for workload in &workloads {
        let config = args.model.config(workload.preset)?;
        for &mode in modes {
            let batch = workload.batch_size(mode, gpu.tier());
            let batch = args.batch_size.map_or(batch, |n| n as usize);
            let recompute = args.memory.recompute(false);
            let precision = args.memory.precision(Precision::F32);
            let measured = measure(&gpu, &config, mode, batch, recompute, precision, repeats)?;
            if args.json {
                results.push(to_json(workload, &measured, best));
            } else {
                print_row(workload, &measured, best);
                if args.profile {
                    print_profile(&measured);
                }
            }
        }
    }
    if args.json {
        let json = json!({
            "webmae": env!("CARGO_PKG_VERSION"),
            "adapter": gpu.adapter(),
            "precision": args.memory.precision(Precision::F32),
            "gemm": { "extent": GEMM_EXTENT, "gflops": best },
            "results": results,
        });
        let text = serde_json::to_string_pretty(&json);
        say!("{}", text.map_err(|e| Error::config("--json", e.to_string()))?);
    }
    Ok(())
}

impl Args {
    fn workloads(&self) -> Result<Vec<Workload>> {
        if self.workloads.is_empty() {
            return Ok(WORKLOADS.to_vec());
        }
        let find = |name: &String| {
            let found = WORKLOADS.into_iter().find(|w| w.name.eq_ignore_ascii_case(name));
            found.ok_or_else(|| {
                let names = WORKLOADS.map(|w| w.name).join(", ");
                Error::config("workload", format!("there is no {name:?}; one of {names}"))
            })
        };
        self.workloads.iter().map(find).collect()
    }
}

fn print_head(gpu: &Gpu, best: f64) {
    let adapter = gpu.adapter();
    say!("{} ({}, {})", adapter.name, adapter.backend, adapter.kind);
    say!("best matrix product: {best:.1} GFLOP/s ({GEMM_EXTENT}³)\n");
    say!(
        "{:<11}{:>6}{:>18}{:>11}{:>10}{:>9}{:>9}{:>11}{:>9}",
        "workload",
        "batch",
        "ms/step",
        "images/s",
        "GFLOP/s",
        "of best",
        "CPU ms",
        "dispatches",
        "submits"
    );
}

fn print_row(workload: &Workload, measured: &Measurement, best: f64) {
    say!(
        "{:<11}{:>6}{:>18}{:>11.1}{:>10.1}{:>8.0}%{:>9.2}{:>11}{:>9}",
        format!("{} {}", workload.name, measured.mode.name()),
        measured.batch_size,
        format!("{:.2} ± {:.2}", measured.median(), measured.spread()),
        measured.images_per_second(),
        measured.gflops(),
        100.0 * measured.gflops() / best,
        measured.cpu_milliseconds,
        measured.dispatches,
        measured.submits,
    );
}

fn print_profile(measured: &Measurement) {
    let Some(kernels) = &measured.kernels else {
        say!("    this adapter has no timestamp queries");
        return;
    };
    let total: f64 = kernels.iter().map(|time| time.nanoseconds).sum();
    for time in kernels {
        say!(
            "    {:<30}{:>6.1} %{:>10.3} ms{:>6} launches{:>9.1} GFLOP/s",
            time.kernel,
            100.0 * time.nanoseconds / total.max(1.0),
            time.nanoseconds / 1e6,
            time.launches,
            time.flops as f64 / time.nanoseconds.max(1.0),
        );
    }
}

fn to_json(workload: &Workload, measured: &Measurement, best: f64) -> Value {
    let kernels = measured.kernels.as_ref().map(|kernels| {
        let total: f64 = kernels.iter().map(|time| time.nanoseconds).sum();
        let entry = |time: &crate::program::KernelTime| {
            json!({
                "kernel": time.kernel,
                "share": time.nanoseconds / total.max(1.0),
                "milliseconds": time.nanoseconds / 1e6,
                "launches": time.launches,
                "flops": time.flops,
            })
        };
        kernels.iter().map(entry).collect::<Vec<_>>()
    });
    json!({
        "workload": workload.name,
        "mode": measured.mode.name(),
        "batch_size": measured.batch_size,
        "ms_per_step": measured.median(),
        "ms_spread": measured.spread(),
        "ms_samples": measured.milliseconds,
        "images_per_second": measured.images_per_second(),
        "gflops": measured.gflops(),
        "share_of_best_gemm": measured.gflops() / best,
        "cpu_ms_per_step": measured.cpu_milliseconds,
        "dispatches": measured.dispatches,
        "submits": measured.submits,
        "flops_per_step": measured.flops,
        "kernels": kernels,
    })
}
