//! `webmae export`: weights for other programs.

use std::path::PathBuf;

use crate::cli::args::head::{KnownHead, PoolArg};
use crate::cli::args::model::size;
use crate::cli::args::weights::{OverrideArgs, Weights};
use crate::cli::output::{check_file, check_folder};
use crate::error::{Error, Result};
use crate::files::safetensors::{self, FloatType};
use crate::model::classifier::{Head, HeadInfo};
use crate::setting::Setting;
use crate::weights::{FileKind, VitPytorchModel, describe, hugging_face, to_vit_pytorch};

/// Options of `webmae export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae export --weights runs/pretrain-1 --out my-vit-mae
      then in Python: ViTMAEForPreTraining.from_pretrained(\"my-vit-mae\")
  webmae export --weights runs/pretrain-1 --format webmae --f16 --out model.safetensors
  webmae export --weights runs/plain-1 --format vit-pytorch --out mae.safetensors
      then in Python: mae.load_state_dict(safetensors.torch.load_file(\"mae.safetensors\"))")]
pub(crate) struct Args {
    /// Run folder, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or Hugging Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// Folder (hugging-face) or .safetensors file (the others) to write
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = FormatArg::HuggingFace)]
    format: FormatArg,
    /// Two bytes a value instead of four
    #[arg(long)]
    f16: bool,
    /// Classes of the `ViT` in vit-pytorch's `MAE`, whose head pre-training does not use [default: 1000]
    #[arg(long, value_name = "N", value_parser = size())]
    classes: Option<u32>,
    #[command(flatten)]
    pool: PoolArg,
    #[command(flatten)]
    overrides: OverrideArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// Folder for `ViTMAEForPreTraining.from_pretrained` (paper variant, square sizes)
    HuggingFace,
    /// One .safetensors file with the configuration in its header (every variant)
    Webmae,
    /// One .safetensors file with the state dict of vit-pytorch's `MAE` or `ViT`, for `load_state_dict` (plain variant:
    /// up to 0.25; vit-pytorch variant: 1.x)
    VitPytorch,
}

impl Args {
    /// Refuses options that would change nothing in what is written.
    fn refuse_without_use(&self, weights: &Weights) -> Result<()> {
        let mae = weights.kind == FileKind::Mae;
        let refused = |option: &str, problem: &str| {
            let problem = format!("{}: {problem}; leave it out", weights.file.display());
            Err(Error::argument(option, problem))
        };
        if self.pool.pool.is_some() && mae {
            return refused("--pool", "holds encoder and decoder, and no classifier that pools");
        }
        if self.classes.is_some() && self.format != FormatArg::VitPytorch {
            return refused("--classes", "only vit-pytorch's MAE has a head beside a decoder");
        }
        if self.classes.is_some() && !mae {
            return refused("--classes", "holds a classifier, whose head has its own classes");
        }
        Ok(())
    }
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
        FormatArg::Webmae | FormatArg::VitPytorch => {
            if args.out.extension().is_none_or(|ending| ending != "safetensors") {
                let problem = format!("{} must end in .safetensors", args.out.display());
                return Err(Error::config(Setting::Out, problem));
            }
            check_file(&args.out)?;
        }
    }
    let weights = args.overrides.open(&args.weights)?;
    let classifier = match weights.kind {
        FileKind::Classifier if args.format != FormatArg::HuggingFace => {
            let KnownHead { info, choice } = weights.head(args.pool.pool)?;
            if let Some(choice) = choice {
                say!("{choice}");
            }
            Some(info)
        }
        _ => {
            weights.require_decoder()?;
            None
        }
    };
    args.refuse_without_use(&weights)?;
    let (normalization, whose) = weights.normalization()?;
    let precision = if args.f16 { FloatType::F16 } else { FloatType::F32 };
    let (config, tensors) = (&weights.config, &weights.tensors);
    match args.format {
        FormatArg::HuggingFace => {
            let (mean, std) = (&normalization.mean, &normalization.std);
            hugging_face::write(&args.out, config, tensors, mean, std, precision)?;
        }
        FormatArg::Webmae => {
            let metadata = describe(config, &normalization, classifier.as_ref())?;
            safetensors::write(&args.out, tensors, &metadata, precision)?;
        }
        FormatArg::VitPytorch => {
            let model = match &classifier {
                None => VitPytorchModel::Mae { classes: args.classes.unwrap_or(1000) as usize },
                Some(HeadInfo { head: Head::Full, pool, .. }) => {
                    VitPytorchModel::Vit { pool: *pool }
                }
                Some(HeadInfo { head: Head::Probe | Head::FcNormProbe, .. }) => {
                    let problem = "holds a linear probe, whose BatchNorm vit-pytorch's ViT has not; take a fine-tuned \
                                   classifier, or --format webmae";
                    return Err(Error::bad_file(&weights.file, problem));
                }
            };
            let state = to_vit_pytorch(config, tensors, model)?;
            let mut metadata = safetensors::python_metadata();
            metadata.extend(describe(config, &normalization, classifier.as_ref())?);
            safetensors::write(&args.out, &state, &metadata, precision)?;
        }
    }
    match (args.format, config.learned_positions()) {
        (FormatArg::HuggingFace, true) => {
            say!("ViTMAE trains no positions: there the learned ones stay as they are now");
        }
        (FormatArg::VitPytorch, false) => {
            say!("vit-pytorch trains positions: there the fixed ones are where training begins");
        }
        _ => {}
    }
    if let Some(choice) = weights.set_choice() {
        say!("{choice}");
    }
    say!("from {}, pixel mean and deviation {whose}", weights.file.display());
    say!("written: {}", args.out.display());
    Ok(())
}
