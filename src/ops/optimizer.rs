//! The end of a step: gradient norm, clipping, skipping of what is not finite, loss scaling, AdamW or LARS, and the
//! moving average of the parameters.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{groups_of_lanes, row_lanes};
#[cfg(not(feature = "labels"))]
use crate::absent::Absent as Trust;
pub use crate::kernels::{INITIAL_LOSS_SCALE, Metrics, State, Step as Scalars};
use crate::kernels::{Precision, adamw, ema, grad_norm, halve, lars, step_end};
use crate::program::{Recorder, Tensor};

/// Gradients per partial sum of squares; `grad_norm` has the same number.
const CHUNK: usize = 4096;
/// Steps whose metrics are kept on the device until they are read.
pub const METRICS_RING: usize = 64;
/// Words of one step's [`Metrics`].
pub const METRICS_WORDS: usize = size_of::<Metrics>() / 4;
/// Words of the scalars that are written before every step, see [`Scalars`].
pub const STEP_WORDS: usize = size_of::<Scalars>() / 4;
/// Words of the optimiser's [`State`].
pub const STATE_WORDS: usize = size_of::<State>() / 4;
/// Label of the buffer with the optimiser's state.
pub const STATE: &str = "optimizer state";

/// AdamW's constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// Decay d of the exponential moving average of the parameters, if one is kept: after each update
    /// `average += (1 - d) · (value - average)`. After t updates d is at most (1 + t) / (10 + t), as
    /// tf.train.ExponentialMovingAverage has it: so short runs do not stand at their initial values. That beginning is
    /// this crate's choice, the paper names the decay alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f32>,
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
    /// Moving averages of the parameters, where [`AdamW::ema`] asks for them.
    pub averages: Option<Tensor>,
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
        let params = grad_norm::Params {
            count: rec.len(slab.grads) as u32,
            chunks: chunks as u32,
            first_chunk: first as u32,
        };
        let constants = grad_norm::Constants { wg: row_lanes(CHUNK) };
        let bindings = grad_norm::Bindings { grads: slab.grads, partials };
        rec.launch(params, constants, bindings, chunks);
        first += chunks;
    }
    let params = step_end::Params {
        partials: total as u32,
        ring: METRICS_RING as u32,
        max_norm: clip_norm,
        beta1,
        beta2,
    };
    let mixed = rec.precision() == Precision::F16;
    let constants = step_end::Constants { mixed, wg: row_lanes(total) };
    let StepTensors { step, state, loss, metrics } = tensors;
    let bindings = step_end::Bindings { step, partials, loss, state, metrics };
    rec.launch(params, constants, bindings, 1);
}

/// Records the end of a step with AdamW on every slab.
///
/// # Panics
/// If moving averages are asked for and a slab has none.
pub fn adamw(rec: &mut Recorder, config: AdamW, slabs: &[SlabTensors], tensors: StepTensors) {
    end_step(rec, tensors, slabs, [config.beta1, config.beta2], config.clip_norm);
    let StepTensors { step, state, .. } = tensors;
    for slab in slabs {
        let count = rec.len(slab.values) / 4;
        let params = adamw::Params {
            count: count as u32,
            decay_count: (slab.decayed / 4) as u32,
            lr_scale: slab.lr_scale,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
        };
        let SlabTensors { values, grads, moment1, moment2, halves, .. } = *slab;
        let constants = adamw::Constants { half: halves.is_some() };
        let halves = halves.unwrap_or_else(|| rec.unused_out());
        let bindings = adamw::Bindings { step, state, grads, values, moment1, moment2, halves };
        rec.launch(params, constants, bindings, groups_of_lanes(count));
        if let Some(decay) = config.ema {
            let averages = slab.averages.expect("a slab with averages");
            let params = ema::Params { count: count as u32, share: 1.0 - decay };
            let bindings = ema::Bindings { state, values, averages };
            rec.launch(params, Default::default(), bindings, groups_of_lanes(count));
        }
    }
}

/// Records the copy of `values` in `halves`, as many f16.
pub fn halve(rec: &mut Recorder, values: Tensor, halves: Tensor) {
    let count = rec.len(values);
    let params = halve::Params { count: count as u32 };
    let bindings = halve::Bindings { values, halves };
    rec.launch(params, Default::default(), bindings, groups_of_lanes(count));
}

/// LARS' constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lars {
    /// Momentum.
    pub momentum: f32,
    /// Decay of tensors with more than one dimension.
    pub weight_decay: f32,
    /// Trust coefficient.
    pub trust: f32,
}

/// How parameters follow their gradients. Its JSON form is the constants alone; a trust coefficient is LARS'.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Optimizer {
    /// Loshchilov & Hutter 2019.
    AdamW(AdamW),
    /// You et al. 2017.
    #[cfg(feature = "labels")]
    Lars(Lars),
}

impl Optimizer {
    /// See [`AdamW::ema`].
    pub fn ema(&self) -> Option<f32> {
        match self {
            Self::AdamW(adamw) => adamw.ema,
            #[cfg(feature = "labels")]
            Self::Lars(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Optimizer {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        /// The constants of either.
        #[derive(Deserialize)]
        struct Constants {
            beta1: Option<f32>,
            beta2: Option<f32>,
            eps: Option<f32>,
            weight_decay: f32,
            clip_norm: Option<f32>,
            ema: Option<f32>,
            #[cfg(feature = "labels")]
            momentum: Option<f32>,
            #[cfg_attr(
                not(feature = "labels"),
                expect(dead_code, reason = "reading it is refused")
            )]
            trust: Option<Trust>,
        }
        let constants = Constants::deserialize(json)?;
        let weight_decay = constants.weight_decay;
        let given =
            |constant: Option<f32>, name| constant.ok_or_else(|| D::Error::missing_field(name));
        #[cfg(feature = "labels")]
        if let Some(trust) = constants.trust {
            let momentum = given(constants.momentum, "momentum")?;
            return Ok(Self::Lars(Lars { momentum, weight_decay, trust }));
        }
        Ok(Self::AdamW(AdamW {
            beta1: given(constants.beta1, "beta1")?,
            beta2: given(constants.beta2, "beta2")?,
            eps: given(constants.eps, "eps")?,
            weight_decay,
            clip_norm: given(constants.clip_norm, "clip_norm")?,
            ema: constants.ema,
        }))
    }
}

/// LARS' trust coefficient.
#[cfg(feature = "labels")]
type Trust = f32;

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
    let scaled = rec.shape(value).len() > 1;
    let params = lars::Params {
        count: count as u32,
        momentum: config.momentum,
        weight_decay: config.weight_decay,
        trust: config.trust,
    };
    let constants = lars::Constants { scaled, wg: row_lanes(count) };
    let bindings = lars::Bindings { step, state, grad, value, velocity };
    rec.launch(params, constants, bindings, 1);
}
