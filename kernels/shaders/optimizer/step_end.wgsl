//! include prelude/step
//! include prelude/reduce
// Between backward pass and optimiser: the global gradient norm, the clipping factor, and whether
// the step is applied at all; a loss or gradient that is not finite skips it. Also writes the step's
// line of metrics. MIXED: gradients are those of a scaled loss, whose factor is halved by a step that is
// skipped and doubled after many good ones (Micikevicius et al. 2018; torch.amp.GradScaler's numbers).

struct Params { partials: u32, ring: u32, max_norm: f32, beta1: f32, beta2: f32 }
// What a step reports.
struct Metrics {
    loss: f32,             // loss before the update
    grad_norm: f32,        // global L2 norm of the gradients, before clipping
    lr: f32,               // learning rate
    step: u32,             // number of the step, from 0
    applied: u32,          // 1 if the update was made, 0 if it was skipped because something was not finite
    skipped: u32,          // skipped steps so far
    skipped_in_a_row: u32, // skipped steps in a row up to this one
    updates: u32,          // updates made so far
    loss_scale: f32,       // factor of the loss of which the gradients were computed; 1 in f32; the norm is without it
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> partials: array<f32>;
@group(0) @binding(3) var<storage, read> loss: array<f32>; // [1]
@group(0) @binding(4) var<storage, read_write> state: State;
@group(0) @binding(5) var<storage, read_write> metrics: array<Metrics>; // ring

override MIXED: bool = false;
const GROWTH: f32 = 2.0;
const BACKOFF: f32 = 0.5;
/// Good steps until the scale grows.
const GROWTH_INTERVAL: u32 = 2000u;
/// The scale grows no further: it stays a finite number, and its inverse a normal one.
const MAX_SCALE: f32 = 0x1p+100;

fn adapt_scale(finite: bool) {
    state.good_steps += 1u;
    if (!finite) {
        state.loss_scale *= BACKOFF;
        state.good_steps = 0u;
    } else if (state.good_steps >= GROWTH_INTERVAL) {
        state.loss_scale = min(state.loss_scale * GROWTH, MAX_SCALE);
        state.good_steps = 0u;
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < params.partials; i += WG) { sum += partials[i]; }
    let squares = group_sum(lane, sum);
    if (lane != 0u) { return; }
    var scale = 1.0;
    var unscale = 1.0;
    if (MIXED) {
        scale = state.loss_scale;
        unscale = 1.0 / scale;
    }
    let norm = sqrt(squares) * unscale;
    let finite = !is_non_finite(squares) && !is_non_finite(loss[0]);
    state.clip = unscale;
    if (finite && params.max_norm > 0.0 && norm > params.max_norm) {
        state.clip = params.max_norm / (norm + 1e-6) * unscale;
    }
    state.apply = u32(finite);
    if (finite) {
        state.updates += 1u;
        // Running products: exact where a power function of the driver need not be.
        state.beta1_power *= params.beta1;
        state.beta2_power *= params.beta2;
        state.skipped_in_a_row = 0u;
    } else {
        state.skipped += 1u;
        state.skipped_in_a_row += 1u;
    }
    if (MIXED) { adapt_scale(finite); }
    metrics[step.step % params.ring] = Metrics(loss[0], norm, step.lr, step.step, state.apply,
        state.skipped, state.skipped_in_a_row, state.updates, scale);
}
