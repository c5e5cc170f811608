//! The end of a step: gradient norm, clipping, skipping of what is not finite, loss scaling, AdamW or LARS.

use super::{Vectors, groups_of_eight, groups_of_lanes, reads_textures, row_lanes};
use crate::gpu::Precision;
use crate::program::{Recorder, Tensor};

/// Gradients per partial sum of squares; `grad_norm.wgsl` has the same number.
const CHUNK: usize = 4096;
/// Steps whose metrics are kept on the device until they are read.
pub const METRICS_RING: usize = 64;
/// Words of one step's [`Metrics`].
pub const METRICS_WORDS: usize = 9;
/// Words of the scalars that are written before every step, see [`Scalars`].
pub const STEP_WORDS: usize = 8;
/// Words of the optimiser's state, see `step_end.wgsl`.
pub const STATE_WORDS: usize = 9;
/// Label of the buffer with the optimiser's state.
pub const STATE: &str = "optimizer state";
/// Factor of the loss with which mixed precision begins: torch.amp.GradScaler's.
pub const INITIAL_LOSS_SCALE: f32 = 65_536.0;

/// Scalars of one step, uploaded before it.
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Scalars {
    /// Seed of the masks, low word first.
    pub seed: [u32; 2],
    /// Epoch, so that a sample's mask changes from one to the next.
    pub epoch: u32,
    /// Number of the step, from 0.
    pub step: u32,
    /// Learning rate.
    pub lr: f32,
    /// Fills the buffer.
    pub padding: [u32; 3],
}

impl Scalars {
    /// The scalars of epoch 0 and step 0 under a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed: [seed as u32, (seed >> 32) as u32], ..Self::default() }
    }
}

/// What a step reports.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Metrics {
    /// Loss before the update.
    pub loss: f32,
    /// Global L2 norm of the gradients, before clipping.
    pub grad_norm: f32,
    /// Learning rate.
    pub lr: f32,
    /// Number of the step, from 0.
    pub step: u32,
    /// 1 if the update was made, 0 if it was skipped because something was not finite.
    pub applied: u32,
    /// Skipped steps so far.
    pub skipped: u32,
    /// Skipped steps in a row up to this one.
    pub skipped_in_a_row: u32,
    /// Updates made so far.
    pub updates: u32,
    /// Factor of the loss of which the gradients were computed; 1 in f32. The norm is without it.
    pub loss_scale: f32,
}

/// State of the optimiser that is not per parameter.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct State {
    /// β₁ to the number of updates.
    pub beta1_power: f32,
    /// β₂ to the number of updates.
    pub beta2_power: f32,
    /// Clipping factor of the last step.
    pub clip: f32,
    /// 1 if the last step was applied.
    pub apply: u32,
    /// Updates made.
    pub updates: u32,
    /// Steps skipped.
    pub skipped: u32,
    /// Steps skipped in a row.
    pub skipped_in_a_row: u32,
    /// Mixed precision: steps made since the scale of the loss changed.
    pub good_steps: u32,
    /// Mixed precision: factor of the loss of which gradients are computed.
    pub loss_scale: f32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            beta1_power: 1.0,
            beta2_power: 1.0,
            clip: 1.0,
            apply: 0,
            updates: 0,
            skipped: 0,
            skipped_in_a_row: 0,
            good_steps: 0,
            loss_scale: INITIAL_LOSS_SCALE,
        }
    }
}

/// AdamW's constants.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// Decoupled decay of parameters with more than one dimension.
    pub weight_decay: f32,
    /// Largest global gradient norm; 0 does not clip.
    pub clip_norm: f32,
}

/// A slab of parameters with everything the optimiser keeps for it, each `[len]`.
#[derive(Debug, Clone, Copy)]
pub struct SlabTensors {
    /// Parameters.
    pub values: Tensor,
    /// Gradients.
    pub grads: Tensor,
    /// First moments.
    pub moment1: Tensor,
    /// Second moments.
    pub moment2: Tensor,
    /// Mixed precision: the parameters in f16, which follow them.
    pub halves: Option<Tensor>,
    /// Leading values that are decayed; a multiple of 4.
    pub decayed: usize,
    /// Factor on the learning rate.
    pub lr_scale: f32,
}

/// Buffers of a step besides parameters.
#[derive(Debug, Clone, Copy)]
pub struct StepTensors {
    /// [`Scalars`].
    pub step: Tensor,
    /// [`State`].
    pub state: Tensor,
    /// `[1]`, the step's loss.
    pub loss: Tensor,
    /// Ring of [`Metrics`].
    pub metrics: Tensor,
}

/// The state that holds the factor of the loss, where the recording is in mixed precision.
pub(super) fn loss_scale(rec: &mut Recorder) -> Option<Tensor> {
    (rec.precision() == Precision::F16).then(|| rec.external(STATE, [STATE_WORDS]))
}

/// Records the gradient norm, the decision to apply the step, and its metrics. `betas` are AdamW's;
/// a `clip_norm` of 0 does not clip.
fn end_step(
    rec: &mut Recorder,
    tensors: StepTensors,
    slabs: &[SlabTensors],
    [beta1, beta2]: [f32; 2],
    clip_norm: f32,
) {
    let chunks: Vec<usize> = slabs.iter().map(|slab| rec.len(slab.grads).div_ceil(CHUNK)).collect();
    let total: usize = chunks.iter().sum();
    let partials = rec.transient("grad_norm", [total]);
    let mut first = 0;
    for (slab, &chunks) in slabs.iter().zip(&chunks) {
        let uniform = [rec.len(slab.grads), chunks, first].map(|n| n as u32);
        let bindings = [slab.grads, partials];
        if let Some(vectors) = Vectors::choose(rec, rec.len(slab.grads), &[slab.grads]) {
            let kernel = vectors.of("grad_norm_texture", "grad_norm_vector");
            rec.dispatch(kernel, &[], &uniform, &bindings, groups_of_eight(chunks));
        } else {
            let lanes = [("WG", row_lanes(rec, CHUNK))];
            rec.dispatch("grad_norm", &lanes, &uniform, &bindings, chunks);
        }
        first += chunks;
    }
    let uniform =
        [total as u32, METRICS_RING as u32, clip_norm.to_bits(), beta1.to_bits(), beta2.to_bits()];
    let mixed = u32::from(rec.precision() == Precision::F16);
    let constants = [("MIXED", mixed), ("WG", row_lanes(rec, total))];
    let StepTensors { step, state, loss, metrics } = tensors;
    rec.dispatch("step_end", &constants, &uniform, &[step, partials, loss, state, metrics], 1);
}

/// Records the end of a step with AdamW on every slab.
pub fn adamw(rec: &mut Recorder, config: AdamW, slabs: &[SlabTensors], tensors: StepTensors) {
    end_step(rec, tensors, slabs, [config.beta1, config.beta2], config.clip_norm);
    let StepTensors { step, state, .. } = tensors;
    for slab in slabs {
        let count = rec.len(slab.values) / 4;
        let uniform = [
            count as u32,
            (slab.decayed / 4) as u32,
            slab.lr_scale.to_bits(),
            config.beta1.to_bits(),
            config.beta2.to_bits(),
            config.eps.to_bits(),
            config.weight_decay.to_bits(),
        ];
        let SlabTensors { values, grads, moment1, moment2, halves, .. } = *slab;
        let mut bindings = vec![step, state, grads, values, moment1, moment2];
        let textured = reads_textures(rec, rec.len(values), &[values]);
        if textured {
            bindings.extend([values, moment1, moment2]);
        }
        bindings.extend(halves);
        let kernel = match (textured, halves.is_some()) {
            (false, false) => "adamw",
            (false, true) => "adamw_half",
            (true, false) => "adamw_texture",
            (true, true) => "adamw_texture_half",
        };
        rec.dispatch(kernel, &[], &uniform, &bindings, groups_of_lanes(count));
    }
}

/// Records the copy of `values` in `halves`, as many f16.
pub fn halve(rec: &mut Recorder, values: Tensor, halves: Tensor) {
    let count = rec.len(values);
    rec.dispatch("halve", &[], &[count as u32], &[values, halves], groups_of_lanes(count));
}

/// LARS' constants.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Lars {
    /// Momentum.
    pub momentum: f32,
    /// Decay of tensors with more than one dimension.
    pub weight_decay: f32,
    /// Trust coefficient.
    pub trust: f32,
}

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Optimizer {
    /// Loshchilov & Hutter 2019.
    AdamW(AdamW),
    /// You et al. 2017.
    Lars(Lars),
}

/// A parameter with what LARS keeps for it, all of one shape.
#[derive(Debug, Clone, Copy)]
pub struct LarsTensors {
    /// Gradient.
    pub grad: Tensor,
    /// Parameter.
    pub value: Tensor,
    /// Momentum.
    pub velocity: Tensor,
}

/// Records the end of a step with LARS on every parameter; the slabs are those that hold them.
pub fn lars(
    rec: &mut Recorder,
    config: Lars,
    slabs: &[SlabTensors],
    params: &[LarsTensors],
    tensors: StepTensors,
) {
    end_step(rec, tensors, slabs, [0.0; 2], 0.0);
    for &param in params {
        lars_param(rec, config, [tensors.step, tensors.state], param);
    }
}

/// Records LARS on one parameter, if the state says that the step is applied. Decay and trust ratio
/// apply to tensors of more than one dimension.
pub fn lars_param(
    rec: &mut Recorder,
    config: Lars,
    [step, state]: [Tensor; 2],
    LarsTensors { grad, value, velocity }: LarsTensors,
) {
    let count = rec.len(value);
    let scaled = u32::from(rec.shape(value).len() > 1);
    let constants = [("SCALED", scaled), ("WG", row_lanes(rec, count))];
    let uniform = [
        count as u32,
        config.momentum.to_bits(),
        config.weight_decay.to_bits(),
        config.trust.to_bits(),
    ];
    rec.dispatch("lars", &constants, &uniform, &[step, state, grad, value, velocity], 1);
}
