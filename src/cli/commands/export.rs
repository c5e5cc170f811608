//! `webmae export`: weights for other programs.

use std::path::PathBuf;

use crate::cli::args::weights::OverrideArgs;
use crate::cli::output::{check_file, check_folder};
use crate::error::{Error, Result};
use crate::files::safetensors::{self, FloatType};
use crate::setting::Setting;
use crate::weights::{describe, hugging_face};

/// Options of `webmae export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae export --weights runs/pretrain-1 --out my-vit-mae
      then in Python: ViTMAEForPreTraining.from_pretrained(\"my-vit-mae\")
  webmae export --weights runs/pretrain-1 --format webmae --f16 --out model.safetensors")]
pub(crate) struct Args {
    /// Run folder, checkpoint, weights file (.safetensors, .pth) or Hugging Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// Folder (hugging-face) or file (webmae) to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = FormatArg::HuggingFace)]
    format: FormatArg,
    /// Two bytes a value instead of four
    #[arg(long)]
    f16: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// Folder for `ViTMAEForPreTraining.from_pretrained` (paper variant, square sizes)
    HuggingFace,
    /// One .safetensors file with the configuration in its header (every variant)
    Webmae,
}

/// Writes the weights.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.format {
        FormatArg::HuggingFace if args.out.is_file() => {
            let problem = "is a file; a Hugging Face model is a folder (a single file is \
                           --format webmae)";
            return Err(Error::bad_file(&args.out, problem));
        }
        FormatArg::HuggingFace => check_folder(&args.out)?,
        FormatArg::Webmae => {
            if args.out.extension().is_none_or(|ending| ending != "safetensors") {
                let problem = format!("{} must end in .safetensors", args.out.display());
                return Err(Error::config(Setting::Out, problem));
            }
            check_file(&args.out)?;
        }
    }
    let weights = args.overrides.open(&args.weights)?;
    if args.format == FormatArg::HuggingFace || weights.head.is_none() {
        weights.require_decoder()?;
    }
    let (normalization, whose) = weights.normalization()?;
    let precision = if args.f16 { FloatType::F16 } else { FloatType::F32 };
    let (config, tensors) = (&weights.config, &weights.tensors);
    match args.format {
        FormatArg::HuggingFace => {
            let (mean, std) = (&normalization.mean, &normalization.std);
            hugging_face::write(&args.out, config, tensors, mean, std, precision)?;
        }
        FormatArg::Webmae => {
            let metadata = describe(config, &normalization, weights.head.as_ref())?;
            safetensors::write(&args.out, tensors, &metadata, precision)?;
        }
    }
    say!("from {}, pixel mean and deviation {whose}", weights.file.display());
    say!("written: {}", args.out.display());
    Ok(())
}
