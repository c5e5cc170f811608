//! `webmae info`: the GPUs there are, or what weights hold and are good for.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::args::weights::{Origin, OverrideArgs, Weights};
use crate::cli::format::{bytes, count};
use crate::cli::print::print_json;
use crate::cli::wording::message;
use crate::config::PatchTarget;
use crate::error::Result;
use crate::gpu::{AdapterSummary, list_adapters};
use crate::program::{DeviceOptions, Opened};
use crate::weights::FileKind;

/// Options of `webmae info`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae info                      what runs here and why; GPUs, their limits and features
  webmae info runs/pretrain-1      the newest checkpoint of a run
  webmae info mae_pretrain_vit_base.pth")]
pub(crate) struct Args {
    /// Run folder, checkpoint, weights file (.safetensors, .pth) or Hugging Face folder
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
}

/// What weights of a kind can and cannot be used for.
fn uses(weights: &Weights) -> Vec<(&'static str, bool, &'static str)> {
    let resume = matches!(weights.origin, Origin::Checkpoint { .. });
    let decoder = weights.kind == FileKind::Mae;
    let encoder = weights.kind != FileKind::DecoderOnly;
    let classifier = weights.kind == FileKind::Classifier;
    let whole = "needs encoder and decoder, as in vit-mae-* folders and mae_visualize_vit_*.pth";
    vec![
        (
            "go on training",
            resume,
            match (resume, classifier) {
                (true, false) => "webmae pretrain --resume RUN",
                (true, true) => "webmae finetune --resume RUN",
                (false, _) => "needs a checkpoint of webmae with its optimiser's state",
            },
        ),
        ("reconstruct", decoder, if decoder { "webmae reconstruct" } else { whole }),
        (
            "export",
            decoder,
            if decoder { "webmae export, for transformers in Python" } else { whole },
        ),
        (
            "features, probing, fine-tuning",
            encoder,
            if encoder { "webmae embed, knn, linprobe, finetune" } else { "needs an encoder" },
        ),
        (
            "classification",
            classifier,
            if classifier {
                "webmae predict, eval"
            } else {
                "needs a head: webmae linprobe or finetune"
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
    if as_json {
        let uses: Vec<Value> = uses(weights)
            .into_iter()
            .map(|(use_, possible, how)| json!({ "use": use_, "possible": possible, "how": how }))
            .collect();
        return print_json(&json!({
            "file": weights.file,
            "format": format,
            "holds": weights.kind.to_string(),
            "step": step,
            "model": weights.config,
            "tensors": weights.tensors.len(),
            "parameters": values,
            "normalization": weights.normalization,
            "ignored_tensors": weights.ignored,
            "uses": uses,
        }));
    }
    for error in &weights.broken {
        say!("skipped a newer checkpoint: {}", message(error));
    }
    let line = |name: &str, text: String| say!("{name:<14}{text}");
    let config = &weights.config;
    let ([h, w], [p, q]) = (config.image_size, config.patch_size);
    line("file", weights.file.display().to_string());
    line("format", format);
    if let Some(step) = step {
        line("step", step.to_string());
    }
    line("holds", format!("{}; {} tensors", weights.kind, weights.tensors.len()));
    line("parameters", format!("{} ({values})", count(values)));
    line("variant", format!("{:?}", config.variant).to_lowercase());
    line("images", format!("{h}×{w} × {} channels, patches {p}×{q}", config.channels));
    let mut stacks = vec![("encoder", config.encoder)];
    if weights.kind == FileKind::Mae {
        stacks.push(("decoder", config.decoder));
    }
    for (name, stack) in stacks {
        let widths = format!("{} heads × {}, mlp {}", stack.heads, stack.dim_head, stack.mlp_dim);
        line(name, format!("{} × {} blocks, {widths}", stack.dim, stack.depth));
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
    line(
        "pixel mean",
        match &weights.normalization {
            Some(known) => format!("{:?}, deviation {:?}", known.mean, known.std),
            None => "not named in the file; ImageNet's is assumed for 3 channels".to_owned(),
        },
    );
    if !weights.ignored.is_empty() {
        line("not used", weights.ignored.join(", "));
    }
    say!("good for");
    for (use_, possible, how) in uses(weights) {
        say!("  {:<4}{use_}: {how}", if possible { "yes" } else { "no" });
    }
    Ok(())
}
