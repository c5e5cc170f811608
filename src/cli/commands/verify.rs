//! `webmae verify`: whether a GPU's kernels are right.

use pollster::block_on;
use serde_json::json;

use crate::cli::open::open;
use crate::cli::print::print_json;
use crate::error::{Error, Result};
use crate::program::DeviceOptions;
use crate::remedy::Remedy;
use crate::setting::Setting;
use crate::tune::refused_names;
use crate::verify::{Verdict, cases, verdicts};

/// Options of `webmae verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs training steps of all kinds of models, at real and at awkward sizes, launch by launch on the GPU and on the
processor's twins of the same kernels, each on the same memory. Exit code 1 if a kernel differs by more than
rounding.

Examples:
  webmae verify
  webmae verify --adapter llvmpipe --json")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compares, prints a table, and fails if a kernel is wrong.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let opened = open(options)?;
    let Some(gpu) = opened.device.gpu() else {
        let problem = format!("the processor would be held against itself ({})", opened.why);
        let remedies = vec![Remedy::set(Setting::Adapter, "NAME")];
        return Err(Error::NoAdapter { problem, remedies });
    };
    let summary = opened.device.summary();
    // A software driver would take an hour for it, and nobody trains on one.
    let large = !gpu.adapter().is_software();
    let mut comparisons = Vec::new();
    for case in cases(gpu, large) {
        complain!("{}", case.name());
        comparisons.extend(block_on(case.compare(gpu))?);
    }
    let verdicts = verdicts(&comparisons);
    let wrong: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.holds()).collect();
    let matrices = gpu.target().cooperative;
    let refused = refused_names(matrices, &gpu.products());
    if args.json {
        print_json(&json!({
            "adapter": summary, "large_models": large, "kernels": verdicts, "wrong": wrong.len(),
            "refused_tiles": refused,
        }))?;
    } else {
        print(&verdicts);
        if !large {
            say!(
                "not checked: models of the size of ViT-B, which take too long on a software driver"
            );
        }
        let right = verdicts.len() - wrong.len();
        for name in &refused {
            say!("not used, as its products came out wrong when they were measured: {name}");
        }
        say!("{right} of {} variants agree with their twins on {summary}", verdicts.len());
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Error::Device {
            problem: format!(
                "{} of {} variants differ from their twins, first {} ({}) at {}; please report it with the \
                 output of --json",
                wrong.len(),
                verdicts.len(),
                first.kernel,
                first.variant,
                first.worst
            ),
        }),
    }
}

fn print(verdicts: &[Verdict]) {
    say!("{:<28}{:>9}{:>12}{:>12}  variant", "kernel", "launches", "difference", "allowed");
    for verdict in verdicts {
        let error = match verdict.error {
            Some(error) => format!("{error:.1e}"),
            None => "other value".to_owned(),
        };
        let mark = if verdict.holds() { "" } else { "  WRONG: " };
        let worst = if verdict.holds() { "" } else { &verdict.worst };
        say!(
            "{:<28}{:>9}{:>12}{:>12.1e}  {}{mark}{worst}",
            verdict.kernel,
            verdict.launches,
            error,
            verdict.tolerance,
            verdict.variant,
        );
    }
}
