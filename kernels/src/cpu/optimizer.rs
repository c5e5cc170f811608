//! Optimisers, and what comes between them and the backward pass.

use super::Value;
use super::parallel::{self, GRAIN, Shared};
use super::vector::{sum, sum2};
use crate::{
    Metrics, State, adamw as adam, ema as average, grad_norm as norm, halve as half,
    lars as layerwise, step_end as end,
};

/// Gradients of one partial sum of squares.
const NORM_CHUNK: usize = 4096;
/// By what a scaled loss grows and shrinks, and after how many good steps it grows.
const GROWTH: f32 = 2.0;
const BACKOFF: f32 = 0.5;
const GROWTH_INTERVAL: u32 = 2000;
/// 2¹⁰⁰. The scale grows no further: it stays a finite number, and its inverse a normal one.
const MAX_SCALE: f32 = f32::from_bits((127 + 100) << 23);

/// AdamW (Loshchilov & Hutter 2019) over a whole slab, in PyTorch's order: decay, moments, update. Parameters
/// that are decayed come first. With `half` the copy that products read follows.
pub fn adamw<A: Value>(
    params: &adam::Params,
    constants: &adam::Constants,
    slices: adam::Slices<'_, A>,
) {
    let (step, state) = (slices.step, slices.state);
    if state.apply == 0 {
        return;
    }
    let lr = step.lr * params.lr_scale;
    let update = Update {
        clip: state.clip,
        beta1: params.beta1,
        beta2: params.beta2,
        step_size: lr / (1.0 - state.beta1_power),
        correction2: 1.0 / (1.0 - state.beta2_power),
        eps: params.eps,
    };
    let decay = 1.0 - lr * params.weight_decay;
    // The shader counts vectors of four.
    let (count, decayed) = (4 * params.count as usize, 4 * params.decay_count as usize);
    let written = [slices.values, slices.moment1, slices.moment2].map(Shared::new);
    let halves = Shared::new(slices.halves);
    parallel::ranges(count, GRAIN, |range| {
        let boundary = decayed.clamp(range.start, range.end);
        for (range, decay) in [(range.start..boundary, decay), (boundary..range.end, 1.0)] {
            // SAFETY: ranges do not overlap.
            let [values, moment1, moment2] =
                written.each_ref().map(|slice| unsafe { slice.part(range.start, range.len()) });
            update_parameters(
                &update,
                decay,
                &slices.grads[range.clone()],
                values,
                moment1,
                moment2,
            );
            if constants.half {
                // SAFETY: as above.
                round(values, unsafe { halves.part(range.start, range.len()) });
            }
        }
    });
}

/// What an update is for all parameters.
struct Update {
    /// Clips gradients, and undoes a scaled loss.
    clip: f32,
    beta1: f32,
    beta2: f32,
    /// Learning rate, with the first moment's bias corrected.
    step_size: f32,
    correction2: f32,
    eps: f32,
}

vectorised! {
    fn update_parameters(
        update: &Update,
        decay: f32,
        grads: &[f32],
        values: &mut [f32],
        moment1: &mut [f32],
        moment2: &mut [f32],
    ) {
        let &Update { clip, beta1, beta2, step_size, correction2, eps } = update;
        let moments = moment1.iter_mut().zip(moment2);
        for ((value, grad), (m, v)) in values.iter_mut().zip(grads).zip(moments) {
            let g = grad * clip;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *value = *value * decay - step_size * *m / ((*v * correction2).sqrt() + eps);
        }
    }
}

/// Exponential moving average of a slab's values, once they are updated. It follows faster at first, so that a
/// short run does not stand at its initial values: after t updates the share is at least 9 / (10 + t), which is a
/// decay of at most (1 + t) / (10 + t).
pub fn ema(params: &average::Params, _: &average::Constants, slices: average::Slices<'_>) {
    let state = slices.state;
    if state.apply == 0 {
        return;
    }
    let share = params.share.max(9.0 / (10.0 + state.updates as f32));
    let averages = Shared::new(slices.averages);
    // The shader counts vectors of four.
    parallel::ranges(4 * params.count as usize, GRAIN, |range| {
        // SAFETY: ranges do not overlap.
        let averages = unsafe { averages.part(range.start, range.len()) };
        follow(share, &slices.values[range], averages);
    });
}

vectorised! {
    fn follow(share: f32, values: &[f32], averages: &mut [f32]) {
        for (average, value) in averages.iter_mut().zip(values) {
            *average += share * (value - *average);
        }
    }
}

/// LARS (You et al. 2017) for one tensor: the gradient of a matrix (`scaled`) is scaled by
/// `trust · |p| / |g|`; the momentum holds scaled gradients without the learning rate.
pub fn lars(
    params: &layerwise::Params,
    constants: &layerwise::Constants,
    slices: layerwise::Slices<'_>,
) {
    if slices.state.apply == 0 {
        return;
    }
    let count = params.count as usize;
    let (grad, value, velocity) =
        (&slices.grad[..count], &mut slices.value[..count], &mut slices.velocity[..count]);
    let mut ratio = 1.0;
    let mut decay = 0.0;
    if constants.scaled {
        decay = params.weight_decay;
        let norms = [
            sum2(value, grad, |p, _| p * p).sqrt(),
            sum2(value, grad, |p, g| (g + decay * p) * (g + decay * p)).sqrt(),
        ];
        if norms[0] > 0.0 && norms[1] > 0.0 {
            ratio = params.trust * norms[0] / norms[1];
        }
    }
    for ((value, grad), velocity) in value.iter_mut().zip(grad).zip(velocity) {
        let direction = (grad + decay * *value) * ratio;
        *velocity = params.momentum * *velocity + direction;
        *value -= slices.step.lr * *velocity;
    }
}

/// Sum of squares of a slab of gradients, one partial sum per chunk; [`step_end`] adds them up.
pub fn grad_norm(params: &norm::Params, _: &norm::Constants, slices: norm::Slices<'_>) {
    let grads = &slices.grads[..params.count as usize];
    let first = params.first_chunk as usize;
    let partials = &mut slices.partials[first..first + params.chunks as usize];
    /// Chunks that are worth a task.
    const TASK: usize = GRAIN / NORM_CHUNK;
    let chunks = partials.len();
    let partials = Shared::new(partials);
    parallel::ranges(chunks, TASK, |range| {
        // SAFETY: ranges do not overlap.
        let partials = unsafe { partials.part(range.start, range.len()) };
        for (chunk, partial) in range.zip(partials) {
            let end = ((chunk + 1) * NORM_CHUNK).min(grads.len());
            *partial = squares(&grads[end.min(chunk * NORM_CHUNK)..end]);
        }
    });
}

vectorised! {
    fn squares(x: &[f32]) -> f32 {
        sum(x, |x| x * x)
    }
}

/// Between backward pass and optimiser: the global gradient norm, the clipping factor, and whether the step is
/// applied at all: a loss or gradient that is not finite skips it. Also writes the step's line of metrics.
/// `mixed`: gradients are those of a scaled loss, whose factor is halved by a step that is skipped and doubled
/// after many good ones (Micikevicius et al. 2018; torch.amp.GradScaler's numbers).
pub fn step_end(params: &end::Params, constants: &end::Constants, slices: end::Slices<'_>) {
    let end::Slices { step, partials, loss, state, metrics } = slices;
    let squares = added_up(&partials[..params.partials as usize]);
    let scale = if constants.mixed { state.loss_scale } else { 1.0 };
    let unscale = 1.0 / scale;
    let norm = squares.sqrt() * unscale;
    let finite = squares.is_finite() && loss[0].is_finite();
    state.clip = unscale;
    if finite && params.max_norm > 0.0 && norm > params.max_norm {
        state.clip = params.max_norm / (norm + 1e-6) * unscale;
    }
    state.apply = u32::from(finite);
    if finite {
        state.updates += 1;
        // Running products, as on a GPU.
        state.beta1_power *= params.beta1;
        state.beta2_power *= params.beta2;
        state.skipped_in_a_row = 0;
    } else {
        state.skipped += 1;
        state.skipped_in_a_row += 1;
    }
    if constants.mixed {
        adapt_scale(state, finite);
    }
    metrics[(step.step % params.ring) as usize] = Metrics {
        loss: loss[0],
        grad_norm: norm,
        lr: step.lr,
        step: step.step,
        applied: state.apply,
        skipped: state.skipped,
        skipped_in_a_row: state.skipped_in_a_row,
        updates: state.updates,
        loss_scale: scale,
    };
}

vectorised! {
    fn added_up(partials: &[f32]) -> f32 {
        sum(partials, |x| x)
    }
}

fn adapt_scale(state: &mut State, finite: bool) {
    state.good_steps += 1;
    if !finite {
        state.loss_scale *= BACKOFF;
        state.good_steps = 0;
    } else if state.good_steps >= GROWTH_INTERVAL {
        state.loss_scale = (state.loss_scale * GROWTH).min(MAX_SCALE);
        state.good_steps = 0;
    }
}

/// The copy of parameters that products read in mixed precision.
pub fn halve<A: Value>(params: &half::Params, _: &half::Constants, slices: half::Slices<'_, A>) {
    let halves = Shared::new(slices.halves);
    parallel::ranges(params.count as usize, GRAIN, |range| {
        // SAFETY: ranges do not overlap.
        let halves = unsafe { halves.part(range.start, range.len()) };
        round(&slices.values[range], halves);
    });
}

vectorised! {
    fn round<A: Value>(values: &[f32], to: &mut [A]) {
        for (to, &value) in to.iter_mut().zip(values) {
            *to = A::of(value);
        }
    }
}
