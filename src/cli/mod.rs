//! The command line: the only place that prints.

/// Prints a line on standard output, see [`print::line`].
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::line(format_args!($($text)*)) };
}

/// Prints a line on standard error, see [`print::complain`].
macro_rules! complain {
    ($($text:tt)*) => { $crate::cli::print::complain(format_args!($($text)*)) };
}

mod args;
pub mod bench;
mod commands;
mod compiling;
mod counter;
mod execute;
mod format;
mod open;
mod output;
mod print;
mod progress;
#[cfg(test)]
mod recipes;
mod report;
mod roofline;
mod stop;
mod study;
mod tiles;
mod wording;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::gpu::GpuOptions;
use crate::program::{DeviceChoice, DeviceOptions};
use commands::{
    ablate, embed, eval, export, info, knn, plan, predict, pretrain, reconstruct, supervised, tune,
    verify,
};
use wording::message;

/// Masked Autoencoders on WebGPU.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Masked Autoencoders on WebGPU: pre-train on your pictures, look at reconstructions, judge what was \
             learned",
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = "\
Without a command, `webmae` is `webmae pretrain`: it trains a tiny model on drawn pictures.

Examples:
  webmae                                     train the built-in example
  webmae pretrain --data PHOTOS --preset small
  webmae reconstruct --weights runs/pretrain-1 cat.jpg
  webmae plan --preset vit-b --batch-size 64

WGPU_BACKEND (vulkan, metal, dx12) and WGPU_ADAPTER_NAME choose a device as well."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to run on
    #[arg(long, global = true, default_value = "auto", help_heading = "Device")]
    device: DeviceChoice,
    /// GPU to use: a number of `webmae info`, or a part of its name; also a software driver's
    #[arg(long, global = true, value_name = "NAME|NUMBER", help_heading = "Device")]
    #[arg(conflicts_with = "device", value_parser = NonEmptyStringValueParser::new())]
    adapter: Option<String>,
    /// Multiply matrices without cooperative matrices (tensor cores), which are experimental
    #[arg(long, global = true, help_heading = "Device")]
    without_cooperative_matrices: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a masked autoencoder on pictures without labels (the default command)
    Pretrain(Box<pretrain::Args>),
    /// Draw what a trained model makes of pictures: original, masked, reconstruction
    Reconstruct(reconstruct::Args),
    /// Compute parameters, FLOPs and memory of a training step, and whether it fits
    Plan(plan::Args),
    /// Say what runs here and list GPUs, or say what a weights file or run folder holds and what it is good for
    Info(info::Args),
    /// Measure the speed of the reference workloads on a GPU or the processor
    Bench(bench::args::Args),
    /// Measure anew which tiles suit this GPU (done by itself the first time a GPU is used)
    Tune(tune::Args),
    /// Measure everything of a machine in some minutes, and write it down
    Report(commands::report::Args),
    /// Hold every kernel that this GPU would use against its twin on the processor
    Verify(verify::Args),
    /// Write a run's weights as a Hugging Face folder or a single file
    Export(export::Args),
    /// Write the features of pictures: never masked, one row a picture
    Embed(embed::Args),
    /// Classify held-out pictures by their nearest neighbours in feature space
    Knn(knn::Args),
    /// Train a linear layer on frozen features
    Linprobe(Box<supervised::LinprobeArgs>),
    /// Train the encoder, or a part of it, with labels
    Finetune(Box<supervised::FinetuneArgs>),
    /// Train a classifier from random values: the baseline
    Train(Box<supervised::TrainArgs>),
    /// Name the most probable classes of pictures
    Predict(predict::Args),
    /// Measure a classifier: top-1, top-5, each class, confusion matrix
    Eval(eval::Args),
    /// Run an ablation study: a grid of pre-trainings and what is measured on them
    Ablate(ablate::Args),
}

/// Runs the command line `args`, the program's name first. Exit codes: 0 done, 1 failed, 2 wrong
/// usage.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(with_default_command(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; their exit code is 0.
            print::remember(error.print());
            return exit(error.exit_code());
        }
    };
    match dispatch(cli) {
        Ok(()) => exit(0),
        Err(error) => {
            complain!("error: {}", message(&error));
            let is_usage = matches!(error, Error::Config { .. } | Error::Argument { .. });
            exit(if is_usage { 2 } else { 1 })
        }
    }
}

/// The exit code `code`; 1 instead of 0 if what was to be printed could not be.
fn exit(code: i32) -> ExitCode {
    match print::failure() {
        Some(reason) if code == 0 => {
            complain!("error: standard output cannot be written: {reason}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(code).unwrap_or(2)),
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    let device = DeviceOptions {
        choice: cli.device,
        gpu: GpuOptions {
            adapter: cli.adapter,
            without_cooperative_matrices: cli.without_cooperative_matrices,
            ..GpuOptions::default()
        },
    };
    match cli.command {
        Command::Pretrain(args) => pretrain::run(&args, &device),
        Command::Reconstruct(args) => reconstruct::run(&args, &device),
        Command::Plan(args) => plan::run(&args, &device),
        Command::Info(args) => info::run(&args, &device),
        Command::Bench(args) => commands::bench::run(&args, &device),
        Command::Tune(args) => tune::run(&args, &device),
        Command::Report(args) => commands::report::run(&args, &device),
        Command::Verify(args) => verify::run(&args, &device),
        Command::Export(args) => export::run(&args),
        Command::Embed(args) => embed::run(&args, &device),
        Command::Knn(args) => knn::run(&args, &device),
        Command::Linprobe(args) => supervised::linprobe(&args, &device),
        Command::Finetune(args) => supervised::finetune(&args, &device),
        Command::Train(args) => supervised::train(&args, &device),
        Command::Predict(args) => predict::run(&args, &device),
        Command::Eval(args) => eval::run(&args, &device),
        Command::Ablate(args) => ablate::run(&args, &device),
    }
}

/// Puts `pretrain` in front of the options of a command line that names no command.
fn with_default_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.is_empty() {
        args.push("webmae".into());
    }
    let mut first = 1;
    // Behind the options of all commands.
    while let Some(arg) = args.get(first).map(|arg| arg.to_string_lossy()) {
        first += match &*arg {
            "--adapter" | "--device" => 2,
            "--without-cooperative-matrices" => 1,
            _ if arg.starts_with("--adapter=") || arg.starts_with("--device=") => 1,
            _ => break,
        };
    }
    let first = first.min(args.len());
    let names_none = args.get(first).is_none_or(|arg| {
        let arg = arg.to_string_lossy();
        arg.starts_with('-') && !["-h", "--help", "-V", "--version"].contains(&&*arg)
    });
    if names_none {
        args.insert(first, "pretrain".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::setting::Setting;

    fn completed(args: &str) -> String {
        let args = with_default_command(args.split(' ').map(OsString::from));
        args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_its_option() {
        let command = Cli::command();
        let all = command.get_subcommands().chain([&command]);
        let arguments = all.flat_map(clap::Command::get_arguments);
        let options: BTreeSet<String> =
            arguments.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
        for &setting in Setting::ALL {
            let option = wording::option(setting);
            assert!(options.contains(&option), "{setting}: there is no {option}");
        }
    }

    #[test]
    fn pretrain_is_the_default_command() {
        assert_eq!(completed("webmae"), "webmae pretrain");
        assert_eq!(completed("webmae --steps 5"), "webmae pretrain --steps 5");
        assert_eq!(completed("webmae --adapter 0"), "webmae --adapter 0 pretrain");
        assert_eq!(completed("webmae --adapter=0 -x"), "webmae --adapter=0 pretrain -x");
        let flag = "--without-cooperative-matrices";
        assert_eq!(completed(&format!("webmae {flag}")), format!("webmae {flag} pretrain"));
        for unchanged in [
            "webmae info",
            "webmae --adapter 0 info",
            "webmae --device gpu --without-cooperative-matrices info",
            "webmae --help",
            "webmae -V",
        ] {
            assert_eq!(completed(unchanged), unchanged);
        }
    }
}
