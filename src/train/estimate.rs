//! What a training step costs, computed from its recording without a device: parameters, FLOPs,
//! bytes, and the largest batch that fits.

use std::collections::BTreeMap;

use serde::Serialize;

use super::paper::PRETRAIN_ADAMW;
use super::step::{MaskSource, StepConfig, Task};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{BINDING_ALIGNMENT, KernelTarget, Precision, STAGING_BUFFERS};
use crate::model::objective::{Purpose, masked_objective};
use crate::model::params::{is_decoder, mae_params};
use crate::model::store::ParamLayout;
use crate::ops::optimizer::{AdamW, Optimizer};
use crate::program::{Plan, Recorder};
use crate::remedy::Remedy;
use crate::setting::Setting;

/// What a device offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Which kernels run on it.
    pub target: KernelTarget,
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Memory in bytes, if it is known.
    pub memory: Option<u64>,
}

/// What a step is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Images per batch.
    pub batch_size: usize,
    /// Batches per step.
    pub grad_accum: usize,
    /// See [`StepConfig::recompute`].
    pub recompute: bool,
    /// See [`StepConfig::precision`].
    pub precision: Precision,
    /// Whether a moving average of the parameters is kept.
    pub averaged: bool,
}

impl Request {
    /// A pre-training step of `config` like this, and where its parameters lie in bindings of up to `max_binding`
    /// bytes.
    pub(super) fn step(self, config: &ModelConfig, max_binding: u64) -> (ParamLayout, StepConfig) {
        let Self { batch_size, grad_accum, recompute, precision, averaged } = self;
        let layout = ParamLayout::with_precision(mae_params(config), max_binding, precision);
        // Any decay costs the same.
        let optimizer = AdamW { ema: averaged.then_some(0.0), ..PRETRAIN_ADAMW };
        let step = StepConfig {
            task: Task::Masked { model: config.clone(), masks: MaskSource::Generated },
            batch_size,
            grad_accum,
            optimizer: Optimizer::AdamW(optimizer),
            layer_decay: 1.0,
            recompute,
            precision,
        };
        (layout, step)
    }
}

/// Costs of one optimiser step. FLOPs are those of matrix products and attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Images per batch.
    pub batch_size: usize,
    /// Batches per step.
    pub grad_accum: usize,
    /// See [`StepConfig::recompute`].
    pub recompute: bool,
    /// See [`StepConfig::precision`].
    pub precision: Precision,
    /// Values in the encoder.
    pub encoder_parameters: u64,
    /// Values in the decoder.
    pub decoder_parameters: u64,
    /// Values of both that are trained; fixed position tables are not.
    pub trainable_parameters: u64,
    /// FLOPs of one batch's forward pass.
    pub forward_flops: u64,
    /// FLOPs of a step, recomputed ones included.
    pub step_flops: u64,
    /// Bytes of parameters, in mixed precision with their copy in f16.
    pub parameter_bytes: u64,
    /// Bytes of gradients.
    pub gradient_bytes: u64,
    /// Bytes of AdamW's moments.
    pub moment_bytes: u64,
    /// Bytes of the parameters' moving averages.
    pub average_bytes: u64,
    /// Bytes of activations and their gradients at the peak, shared by liveness.
    pub activation_bytes: u64,
    /// Bytes of images, masks, scalars and results.
    pub input_bytes: u64,
    /// Bytes of memory that images wait in before their step.
    pub staging_bytes: u64,
    /// All of these together.
    pub peak_bytes: u64,
    /// Largest range that a kernel binds.
    pub largest_binding: u64,
    /// The tensor in it.
    pub largest_binding_tensor: String,
    /// Kernel launches per step.
    pub dispatches: usize,
}

impl Estimate {
    /// Records and plans a step of `config`.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if a tensor has more values than any device can index;
    /// [`Error::Config`] for an invalid model.
    pub fn new(config: &ModelConfig, request: Request, limits: &Limits) -> Result<Self> {
        let Request { batch_size, grad_accum, recompute, precision, .. } = request;
        config.validate()?;
        indexable(config, batch_size)?;
        let (layout, step) = request.step(config, limits.max_binding);
        let mut forward = Recorder::new(&limits.target, false);
        forward.set_precision(precision);
        layout.declare(&mut forward, false);
        masked_objective(
            &mut forward,
            config,
            batch_size,
            MaskSource::Generated,
            Purpose::Evaluation,
        );
        // What exceeds a limit is refused later, with all numbers at hand.
        let forward = Plan::new(&forward, u64::MAX)?;
        let [batch, update] = step.plan(&limits.target, &layout, u64::MAX)?;
        let (largest_binding, largest_binding_tensor) = [&batch, &update]
            .map(|plan| (plan.largest_binding, &plan.largest_binding_label))
            .into_iter()
            .max_by_key(|&(bytes, _)| bytes)
            .map_or((0, String::new()), |(bytes, label)| (bytes, label.clone()));

        let externals: BTreeMap<&str, u64> = [&batch, &update]
            .iter()
            .flat_map(|plan| &plan.externals)
            .map(|(label, bytes)| (label.as_str(), *bytes))
            .collect();
        let labelled = |prefixes: &[&str]| -> u64 {
            let mut sum = 0;
            for (label, bytes) in &externals {
                if prefixes.iter().any(|prefix| label.starts_with(prefix)) {
                    sum += bytes;
                }
            }
            sum
        };
        let (parameters, gradients) =
            (labelled(&["param.", "fixed ", "half"]), labelled(&["grad."]));
        let moments = labelled(&["moment1.", "moment2."]);
        let averages = labelled(&["average."]);
        let state = parameters + gradients + moments + averages;
        let activations = batch.transient_bytes() + update.transient_bytes();
        let uniforms = (batch.dispatches + update.dispatches) as u64 * BINDING_ALIGNMENT;
        let inputs = labelled(&[""]) - state + uniforms;
        let staging = STAGING_BUFFERS as u64 * labelled(&["images"]);

        let values = |decoder: bool| -> u64 {
            let specs = layout.specs().iter().filter(|spec| is_decoder(&spec.name) == decoder);
            specs.map(|spec| spec.len() as u64).sum()
        };
        Ok(Self {
            batch_size,
            grad_accum,
            recompute,
            precision,
            encoder_parameters: values(false),
            decoder_parameters: values(true),
            trainable_parameters: layout.trainable() as u64,
            forward_flops: forward.flops,
            step_flops: batch.flops * grad_accum as u64 + update.flops,
            parameter_bytes: parameters,
            gradient_bytes: gradients,
            moment_bytes: moments,
            average_bytes: averages,
            activation_bytes: activations,
            input_bytes: inputs,
            staging_bytes: staging,
            peak_bytes: state + activations + inputs + staging,
            largest_binding,
            largest_binding_tensor,
            dispatches: batch.dispatches * grad_accum + update.dispatches,
        })
    }

    /// Whether a device can run the step.
    pub fn fits(&self, limits: &Limits) -> bool {
        self.largest_binding <= limits.max_binding
            && limits.memory.is_none_or(|memory| self.peak_bytes <= memory)
    }
}

/// [`Estimate::new`] for a device that must be able to run the step.
///
/// # Errors
/// [`Error::DoesNotFit`] with the numbers, the largest batch that fits and what else to try.
pub fn fitting_estimate(
    config: &ModelConfig,
    request: Request,
    limits: &Limits,
) -> Result<Estimate> {
    let reason = match Estimate::new(config, request, limits) {
        Ok(estimate) if estimate.fits(limits) => return Ok(estimate),
        Ok(estimate) => shortage(&estimate, limits),
        Err(Error::DoesNotFit { problem, .. }) => problem,
        Err(other) => return Err(other),
    };
    let largest = largest_batch(config, request, limits);
    let effective = request.batch_size * request.grad_accum;
    let (what_fits, mut remedies) = match largest {
        Some(largest) => {
            let smaller = Remedy::set(Setting::BatchSize, largest)
                .and(Remedy::set(Setting::GradAccum, effective.div_ceil(largest)))
                .giving(format!("an effective batch of about {effective}"));
            (format!("the largest batch that fits is {largest}"), vec![smaller])
        }
        None => {
            let smaller = vec![
                Remedy::smaller(Setting::Preset),
                Remedy::smaller(Setting::ImageSize),
                Remedy::smaller(Setting::DecoderDim),
                Remedy::larger(Setting::PatchSize),
                Remedy::larger(Setting::MaskRatio),
            ];
            ("not even one image fits".to_owned(), smaller)
        }
    };
    let recomputing = largest_batch(config, Request { recompute: true, ..request }, limits);
    if let Some(batch) = recomputing.filter(|_| recomputing > largest) {
        let fits = format!("a batch of {batch} fits");
        remedies.push(Remedy::on(Setting::Recompute).giving(fits));
    }
    Err(Error::DoesNotFit { problem: format!("{reason}; {what_fits}"), remedies })
}

/// The largest batch, up to the requested one, whose step fits; `None` if no batch does.
fn largest_batch(config: &ModelConfig, request: Request, limits: &Limits) -> Option<usize> {
    let fits = |batch_size: usize| {
        let request = Request { batch_size, ..request };
        Estimate::new(config, request, limits).is_ok_and(|estimate| estimate.fits(limits))
    };
    if !fits(1) {
        return None;
    }
    // Invariant: `low` fits, `high` is too large, or more than is asked for.
    let (mut low, mut high) = (1, request.batch_size + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    Some(low)
}

fn shortage(estimate: &Estimate, limits: &Limits) -> String {
    let batch = estimate.batch_size;
    if estimate.largest_binding > limits.max_binding {
        return format!(
            "with a batch of {batch}, {} takes {:.1} MiB, and one binding holds {:.1} MiB",
            estimate.largest_binding_tensor,
            mebibytes(estimate.largest_binding),
            mebibytes(limits.max_binding),
        );
    }
    format!(
        "with a batch of {batch}, a step takes {:.1} MiB (parameters and what the optimiser keeps \
         {:.1}, activations {:.1}, inputs and their staging {:.1}), and there are {:.1} MiB",
        mebibytes(estimate.peak_bytes),
        mebibytes(
            estimate.parameter_bytes
                + estimate.gradient_bytes
                + estimate.moment_bytes
                + estimate.average_bytes
        ),
        mebibytes(estimate.activation_bytes),
        mebibytes(estimate.input_bytes + estimate.staging_bytes),
        mebibytes(limits.memory.unwrap_or(u64::MAX)),
    )
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Kernels index with 32 bits: no tensor may have more values.
fn indexable(config: &ModelConfig, batch: usize) -> Result<()> {
    let (encoder, decoder) = (&config.encoder, &config.decoder);
    let widest = [encoder, decoder]
        .map(|stack| stack.dim.max(stack.mlp_dim).max(3 * stack.inner_dim()))
        .into_iter()
        .fold(config.patch_dim(), usize::max);
    let activations = (batch as u128) * config.decoder_tokens() as u128 * widest as u128;
    let weights = (widest as u128) * encoder.dim.max(decoder.dim) as u128;
    let values = activations.max(weights);
    if values <= u128::from(u32::MAX) {
        return Ok(());
    }
    let problem = format!(
        "with a batch of {batch}, a tensor has {values} values; kernels can index {}",
        u32::MAX
    );
    Err(Error::DoesNotFit { problem, remedies: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{DEFAULT_MAX_BINDING, Processor};

    fn limits() -> Limits {
        Limits { target: Processor::Gpu.into(), max_binding: DEFAULT_MAX_BINDING, memory: None }
    }

    fn preset(name: &str) -> ModelConfig {
        ModelConfig::preset(name).unwrap()
    }

    fn batch_of(batch_size: usize) -> Request {
        Request {
            batch_size,
            grad_accum: 1,
            recompute: false,
            precision: Precision::F32,
            averaged: false,
        }
    }

    #[test]
    fn vit_b_has_the_published_numbers() {
        let estimate = fitting_estimate(&preset("vit-b"), batch_of(64), &limits()).unwrap();
        // ViT-B/16 without a head, and the 512 × 8 decoder.
        assert_eq!(estimate.encoder_parameters, 85_798_656);
        assert_eq!(estimate.decoder_parameters, 26_109_184);
        assert!(estimate.largest_binding <= DEFAULT_MAX_BINDING);
        let parts = [
            estimate.parameter_bytes,
            estimate.gradient_bytes,
            estimate.moment_bytes,
            estimate.activation_bytes,
            estimate.input_bytes,
            estimate.staging_bytes,
        ];
        assert_eq!(estimate.peak_bytes, parts.iter().sum::<u64>());
        assert_eq!(estimate.average_bytes, 0);
        let averaged = Request { averaged: true, ..batch_of(64) };
        let averaged = fitting_estimate(&preset("vit-b"), averaged, &limits()).unwrap();
        // A float for each trained parameter, in the slabs of the gradients, and the uniforms of its launches.
        assert_eq!(averaged.average_bytes, estimate.gradient_bytes);
        let launches = (averaged.dispatches - estimate.dispatches) as u64;
        assert_eq!(
            averaged.peak_bytes,
            estimate.peak_bytes + averaged.average_bytes + launches * BINDING_ALIGNMENT
        );
        let ratio = estimate.step_flops as f64 / estimate.forward_flops as f64;
        assert!((2.7..3.3).contains(&ratio), "a step is about three forward passes: {ratio}");
    }

    #[test]
    fn refusals_name_the_largest_batch_that_fits() {
        let config = preset("vit-b");
        let error = fitting_estimate(&config, batch_of(4096), &limits()).unwrap_err().to_string();
        let largest = largest_batch(&config, batch_of(4096), &limits()).unwrap();
        assert!(error.contains(&format!("batch_size {largest} and grad_accum")), "{error}");
        assert!(fitting_estimate(&config, batch_of(largest), &limits()).is_ok());
        assert!(fitting_estimate(&config, batch_of(largest + 1), &limits()).is_err());
        let small = Limits { memory: Some(1 << 30), ..limits() };
        let error = fitting_estimate(&config, batch_of(64), &small).unwrap_err().to_string();
        assert!(error.contains("1024.0 MiB") && error.contains("not even one image"), "{error}");
    }

    #[test]
    fn absurd_sizes_are_refused_before_they_overflow() {
        let mut config = preset("vit-h");
        config.image_size = [16_352; 2];
        let error = fitting_estimate(&config, batch_of(65_536), &limits()).unwrap_err().to_string();
        assert!(error.contains("not even one image"), "{error}");
    }
}
