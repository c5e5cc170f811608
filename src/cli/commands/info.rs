//! `webmae info`: the GPUs there are, or what weights hold and are good for.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::args::head::KnownHead;
use crate::cli::args::weights::{Origin, OverrideArgs, Weights};
use crate::cli::format::{self, bytes, count};
use crate::cli::print::print_json;
use crate::cli::tiles;
use crate::cli::wording::message;
use crate::config::{PatchTarget, Variant};
use crate::data::decode::FILE_CHANNELS;
use crate::error::Result;
use crate::gpu::{AdapterSummary, list_adapters};
use crate::kernels::Products;
use crate::program::{DeviceOptions, Opened};
use crate::tune::refused_names;
use crate::weights::FileKind;

/// Options of `webmae info`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae info                      what runs here and why; GPUs, their limits and features
  webmae info runs/pretrain-1      the newest checkpoint of a run
  webmae info mae_pretrain_vit_base.pth")]
pub(crate) struct Args {
    /// Run folder, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or Hugging Face folder
    path: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// Prints adapters or weights.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    match &args.path {
        None => devices(options, args.json),
        Some(path) => weights(&args.overrides.open(path)?, args.json),
    }
}

/// Features that kernels can make use of, with the words for them.
const FEATURES: [(&str, &str); 3] =
    [("TIMESTAMP_QUERY", "timestamps"), ("SHADER_F16", "f16"), ("SUBGROUP", "subgroups")];

/// What runs here and why, and the graphics adapters.
fn devices(options: &DeviceOptions, as_json: bool) -> Result<()> {
    let adapters = pollster::block_on(list_adapters());
    let Opened { device, why } = pollster::block_on(options.open())?;
    let runs = device.summary();
    if as_json {
        return print_json(&json!({ "device": runs, "why": why, "adapters": adapters }));
    }
    say!("{runs}: {why}");
    for (number, adapter) in adapters.iter().enumerate() {
        print_adapter(number, adapter);
    }
    Ok(())
}

fn print_adapter(number: usize, adapter: &AdapterSummary) {
    let AdapterSummary { name, backend, kind, driver, .. } = adapter;
    say!("{number}: {name}");
    say!("   {backend}, {kind}, driver {driver}");
    say!(
        "   binding {}, buffer {}, {} storage buffers a kernel",
        bytes(adapter.max_binding),
        bytes(adapter.max_buffer),
        adapter.storage_buffers,
    );
    say!(
        "   workgroup {} invocations, {} of memory",
        adapter.workgroup_invocations,
        bytes(adapter.workgroup_memory.into())
    );
    let has = |feature: &str| adapter.features.iter().any(|name| name == feature);
    let words = FEATURES
        .map(|(feature, word)| format!("{word} {}", if has(feature) { "yes" } else { "no" }));
    say!("   {}", words.join(", "));
    say!("   cooperative matrices: {}", adapter.cooperative.describe());
    for products in tiles::known(adapter) {
        say!("   {}", describe_products(adapter, &products));
    }
}

/// How products were chosen to be divided, in words.
fn describe_products(adapter: &AdapterSummary, products: &Products) -> String {
    let count = products.shapes().count();
    let wrong = refused_names(adapter.cooperative, products);
    let wrong = match wrong.as_slice() {
        [] => String::new(),
        names => format!("; wrong, and not used: {}", names.join(", ")),
    };
    format!("{count} products measured{wrong}")
}

/// One use of weights: how it is had, or why not.
type Use = (&'static str, Result<&'static str, String>);

/// What weights can and cannot be used for.
fn uses(weights: &Weights) -> [Use; 5] {
    let resume = matches!(weights.origin, Origin::Checkpoint { .. });
    let classifier = weights.kind == FileKind::Classifier;
    let channels = weights.config.channels;
    // Whatever the weights are good for, it is pictures that they are used on.
    let fed = |how: &'static str| match FILE_CHANNELS.contains(&channels) {
        true => Ok(how),
        false => Err(format!("picture files have 1, 3 or 4 channels, this model takes {channels}")),
    };
    let no = |why: &str| Err(why.to_owned());
    let whole = "needs encoder and decoder, as in vit-mae-* folders and mae_visualize_vit_*.pth";
    [
        (
            "go on training",
            match (resume, classifier) {
                // A run has pictures of as many channels as its model takes already.
                (true, false) => Ok("webmae pretrain --resume RUN"),
                (true, true) => Ok("webmae finetune --resume RUN"),
                (false, _) => no("needs a checkpoint of webmae with its optimiser's state"),
            },
        ),
        (
            "reconstruct",
            match (weights.kind, weights.config.target) {
                (FileKind::Mae, PatchTarget::Tokens { .. }) => {
                    no("it predicts tokens of another model, which have no pixels to show")
                }
                (FileKind::Mae, _) => fed("webmae reconstruct"),
                _ => no(whole),
            },
        ),
        (
            "export",
            match (weights.kind, weights.config.variant) {
                (FileKind::Mae, Variant::Paper) => Ok("webmae export, for transformers in Python"),
                (FileKind::Mae, _) => Ok("webmae export --format vit-pytorch or webmae"),
                (FileKind::Classifier, _) => Ok("webmae export --format webmae"),
                _ => no(whole),
            },
        ),
        (
            "features, probing, fine-tuning",
            match weights.kind {
                FileKind::DecoderOnly => no("needs an encoder"),
                _ => fed("webmae embed, knn, linprobe, finetune"),
            },
        ),
        (
            "classification",
            match classifier {
                true => fed("webmae predict, eval"),
                false => no("needs a head: webmae linprobe or finetune"),
            },
        ),
    ]
}

fn weights(weights: &Weights, as_json: bool) -> Result<()> {
    let values: u64 = weights.tensors.values().map(|tensor| tensor.data.len() as u64).sum();
    let (format, step) = match weights.origin {
        Origin::Checkpoint { step } => ("webmae checkpoint".to_owned(), Some(step)),
        Origin::File(format) => (format.to_string(), None),
    };
    let head = match weights.kind {
        FileKind::Classifier => Some(weights.head(None)?),
        _ => None,
    };
    if as_json {
        let uses: Vec<Value> = uses(weights)
            .into_iter()
            .map(|(use_, how)| {
                let possible = how.is_ok();
                json!({ "use": use_, "possible": possible, "how": how.map_or_else(|why| why, str::to_owned) })
            })
            .collect();
        // Pooling that had to be assumed is no knowledge about the file.
        let told = head.as_ref().filter(|head| head.choice.is_none());
        let mut about = json!({
            "file": weights.file,
            "format": format,
            "holds": weights.kind.to_string(),
            "step": step,
            "model": weights.config,
            "tensors": weights.tensors.len(),
            "parameters": values,
            "normalization": weights.normalization,
            "ignored_tensors": weights.ignored,
            "pool": told.map(|head| head.info.pool),
            "uses": uses,
        });
        about.as_object_mut().expect("is one").extend(weights.taken());
        return print_json(&about);
    }
    for error in &weights.broken {
        say!("skipped a newer checkpoint: {}", message(error));
    }
    let line = |what: &str, text: String| say!("{what:<14}{text}");
    let config = &weights.config;
    let ([h, w], [p, q]) = (config.image_size, config.patch_size);
    line("file", weights.file.display().to_string());
    line("format", format);
    if let Some(step) = step {
        line("step", step.to_string());
    }
    if let Some(choice) = weights.set_choice() {
        line("sets", choice);
    }
    line("holds", format!("{}; {} tensors", weights.kind, weights.tensors.len()));
    line("parameters", format!("{} ({values})", count(values)));
    line("variant", format!("{:?}", config.variant).to_lowercase());
    line("images", format!("{h}×{w} × {} channels, patches {p}×{q}", config.channels));
    let mut stacks = vec![("encoder", config.encoder)];
    if weights.kind == FileKind::Mae {
        stacks.push(("decoder", config.decoder));
    }
    for (part, stack) in stacks {
        let widths = format!("{} heads × {}, mlp {}", stack.heads, stack.dim_head, stack.mlp_dim);
        line(part, format!("{} × {} blocks, {widths}", stack.dim, stack.depth));
    }
    if weights.kind == FileKind::Mae {
        let target = match config.target {
            PatchTarget::Pixels if config.norm_pix_loss => "normalised patches".to_owned(),
            PatchTarget::Pixels => "pixels".to_owned(),
            PatchTarget::Pca { components } => format!("{components} principal components"),
            PatchTarget::Codebook { vocabulary } => format!("{vocabulary} entries of a codebook"),
            PatchTarget::Tokens { vocabulary } => format!("{vocabulary} given tokens"),
        };
        line("target", format!("{target}, mask ratio {}", config.mask_ratio));
    }
    let positions = if config.learned_positions() { "learned" } else { "fixed" };
    line("positions", positions.to_owned());
    if config.dropout > 0.0 || config.emb_dropout > 0.0 {
        let dropout = format!("{}, {} behind the positions", config.dropout, config.emb_dropout);
        line("dropout", dropout);
    }
    if let Some(KnownHead { info, choice }) = &head {
        let pooling = choice.clone().unwrap_or_else(|| format::choice(info.pool));
        line("pooling", pooling);
    }
    line(
        "pixel mean",
        match &weights.normalization {
            Some(known) => format!("{:?}, deviation {:?}", known.mean, known.std),
            None if config.channels == 3 => {
                "not named in the file; ImageNet's is assumed".to_owned()
            }
            None => "not named in the file; give --mean and --std".to_owned(),
        },
    );
    if !weights.ignored.is_empty() {
        line("not used", weights.ignored.join(", "));
    }
    say!("good for");
    for (use_, how) in uses(weights) {
        match how {
            Ok(how) => say!("  yes {use_}: {how}"),
            Err(why) => say!("  no  {use_}: {why}"),
        }
    }
    Ok(())
}
