//! `webmae plan`: the costs of a training step, without training.

use crate::cli::args::dropout::DropoutArgs;
use crate::cli::args::ema::{EmaArg, parse_ema};
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::{ModelArgs, size};
use crate::cli::format::{bytes, count, flops, parse_bytes};
use crate::cli::open::open_device;
use crate::cli::print::print_json;
use crate::cli::roofline;
use crate::config::{ModelConfig, StackConfig};
use crate::error::Result;
use crate::kernels::{DEFAULT_MAX_BINDING, Precision, Processor};
use crate::program::{DeviceChoice, DeviceOptions};
use crate::train::estimate::{Estimate, Limits, Request, fitting_estimate};
use crate::train::forward_costs::{ForwardCosts, StackCosts};
use crate::train::roofline::{Card, Roofline};

/// Options of `webmae plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The numbers need no GPU: they hold for WebGPU's default limits (bindings of 128 MiB), or with
--adapter for that adapter's. A step that cannot fit is refused (exit code 1) with the largest
batch that does.

Examples:
  webmae plan --preset vit-b --batch-size 64
  webmae plan --preset vit-l --batch-size 64 --vram 8GiB
  webmae plan --preset vit-l --batch-size 64 --vram 8GiB --recompute --precision f16
  webmae plan --preset small --image-size 96x160 --batch-size 32 --grad-accum 8 --json
  webmae plan --preset vit-b --batch-size 64 --roofline h100
  webmae plan --preset vit-b --batch-size 64 --precision f16 --roofline rtx4060
  webmae plan --preset tiny --roofline f32=20T,f16=80T,bandwidth=500G")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Images per batch
    #[arg(long, value_name = "N", default_value = "64", value_parser = size())]
    #[arg(help_heading = "Step")]
    batch_size: u32,
    /// Batches whose gradients make one step
    #[arg(long, value_name = "N", default_value = "1", value_parser = size())]
    #[arg(help_heading = "Step")]
    grad_accum: u32,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    dropout: DropoutArgs,
    /// Plan for a moving average of the weights, which takes as much memory as they do [default: off]
    #[arg(long, value_name = "DECAY|off", value_parser = parse_ema, allow_negative_numbers = true)]
    #[arg(help_heading = "Memory")]
    ema: Option<EmaArg>,
    /// Memory that the step must fit into, e.g. 8GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = "Step")]
    vram: Option<u64>,
    /// Predict a step on a card: h100, rtx4060, m2, or one given by its rates, f32=FLOPS and
    /// bandwidth=BYTES a second, with f16=FLOPS of cooperative matrices, processors=N and cache=BYTES if
    /// they are known
    #[arg(long, value_name = "CARD", help_heading = "Step")]
    roofline: Option<Card>,
    /// Print JSON; with a roofline every launch
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Prints the plan, or refuses.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let mut config = args.model.config("tiny")?;
    args.dropout.apply(&mut config)?;
    let mut limits = Limits {
        target: Processor::Gpu.into(),
        max_binding: DEFAULT_MAX_BINDING,
        memory: args.vram,
    };
    if options.gpu.adapter.is_some() || options.choice != DeviceChoice::Auto {
        let device = open_device(options)?;
        device.check_precision(args.memory.precision(Precision::F32))?;
        (limits.target, limits.max_binding) = (device.target(), device.max_binding());
    }
    let request = Request {
        batch_size: args.batch_size as usize,
        grad_accum: args.grad_accum as usize,
        recompute: args.memory.recompute(false),
        precision: args.memory.precision(Precision::F32),
        averaged: matches!(args.ema, Some(EmaArg(Some(_)))),
    };
    let mut estimate = fitting_estimate(&config, request, &limits)?;
    let mut roofline = None;
    if let Some(card) = args.roofline.clone() {
        let step = Roofline::new(card, &config, request, limits.max_binding)?;
        // All numbers are those of one step.
        limits.target = step.target.clone();
        estimate = fitting_estimate(&config, request, &limits)?;
        roofline = Some(step);
    }
    let costs = ForwardCosts::new(&config)?;
    if args.json {
        let json = serde_json::json!({
            "model": config, "estimate": estimate, "forward": costs,
            "max_binding": limits.max_binding,
            "roofline": roofline.as_ref().map(roofline::as_json),
        });
        print_json(&json)?;
    } else {
        print_table(&config, &estimate, &limits);
        print_forward(&config, costs);
        if request.precision == Precision::F32 {
            let other = Request { precision: Precision::F16, ..request };
            let other = Estimate::new(&config, other, &limits)?;
            line("--precision f16", format!("{} at the peak", bytes(other.peak_bytes)));
        }
        if !request.recompute {
            let other = Estimate::new(&config, Request { recompute: true, ..request }, &limits)?;
            let [memory, work] = [bytes(other.peak_bytes), flops(other.step_flops)];
            line("--recompute", format!("{memory} at the peak, {work} a step"));
        }
        if let Some(roofline) = &roofline {
            roofline::print(roofline, &estimate);
        }
    }
    Ok(())
}

fn line(name: &str, text: String) {
    say!("{name:<16}{text}");
}

fn print_table(config: &ModelConfig, estimate: &Estimate, limits: &Limits) {
    let ([h, w], [p, q]) = (config.image_size, config.patch_size);
    line(
        "model",
        format!(
            "{h}×{w} × {} channels, patches {p}×{q}: {} of {} visible",
            config.channels,
            config.len_keep(),
            config.num_patches()
        ),
    );
    line("encoder", stack(&config.encoder, config.encoder_tokens()));
    line("decoder", stack(&config.decoder, config.decoder_tokens()));
    let effective = estimate.batch_size * estimate.grad_accum;
    let batch = format!("{} × {} accumulated", estimate.batch_size, estimate.grad_accum);
    line("batch", format!("{batch} = {effective} images per step"));
    line(
        "parameters",
        format!(
            "{} (encoder {}, decoder {}; {} trained)",
            count(estimate.encoder_parameters + estimate.decoder_parameters),
            count(estimate.encoder_parameters),
            count(estimate.decoder_parameters),
            count(estimate.trainable_parameters),
        ),
    );
    line("forward", flops(estimate.forward_flops));
    line("step", format!("{} in {} dispatches", flops(estimate.step_flops), estimate.dispatches));
    let precision = match estimate.precision {
        Precision::F32 => "",
        Precision::F16 => " with weights and activations in f16",
    };
    line("peak memory", format!("{}{precision}", bytes(estimate.peak_bytes)));
    let sizes = [
        ("parameters", estimate.parameter_bytes),
        ("gradients", estimate.gradient_bytes),
        ("moments", estimate.moment_bytes),
        ("average", estimate.average_bytes),
        ("activations", estimate.activation_bytes),
        ("inputs", estimate.input_bytes),
        ("staging", estimate.staging_bytes),
    ];
    // A moving average need not be there, all others are.
    for (name, size) in sizes.into_iter().filter(|&(_, size)| size > 0) {
        line("", format!("{name:<12}{:>10}", bytes(size)));
    }
    line(
        "largest binding",
        format!(
            "{} of {}: {}",
            bytes(estimate.largest_binding),
            bytes(limits.max_binding),
            estimate.largest_binding_tensor
        ),
    );
}

/// What one image costs, by parts.
fn print_forward(config: &ModelConfig, costs: ForwardCosts) {
    let ForwardCosts { encoder, decoder, encoder_on_all } = costs;
    let share = 100.0 * decoder.per_token() as f64 / encoder.per_token() as f64;
    let of = |part: StackCosts| {
        format!("{} = {} tokens × {}", flops(part.flops), part.tokens, flops(part.per_token()))
    };
    line("an image", format!("{} forward", flops(costs.total())));
    line("", format!("encoder     {}", of(encoder)));
    line("", format!("decoder     {} ({share:.1} % of the encoder's)", of(decoder)));
    line("", format!("all tokens  {} (features, evaluation)", of(encoder_on_all)));
    if !config.encoder_mask_tokens {
        let saving = costs.saving();
        line(
            "",
            format!("with mask tokens in the encoder it would cost {saving:.2} times as much"),
        );
    }
}

fn stack(stack: &StackConfig, tokens: usize) -> String {
    let StackConfig { dim, depth, heads, dim_head, mlp_dim } = *stack;
    format!("{dim} × {depth} blocks, {heads} heads × {dim_head}, mlp {mlp_dim}; {tokens} tokens")
}
