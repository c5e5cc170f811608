//! include prelude/step
// AdamW (Loshchilov & Hutter 2019) over a whole slab, in PyTorch's order: decay, moments, update.
// Slabs hold decayed parameters first, so one boundary decides.

struct Params {
    count: u32,       // vec4s in the slab
    decay_count: u32, // vec4s that are decayed
    lr_scale: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read> grads: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> moment1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> moment2: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> halves: array<act4>; // with HALF

/// Mixed precision: the copy that products read follows.
override HALF: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.count || state.apply == 0u) { return; }
    let lr = step.lr * params.lr_scale;
    // The factor undoes a scaled loss, too.
    let g = grads[i] * state.clip;
    let m = params.beta1 * moment1[i] + (1.0 - params.beta1) * g;
    let v = params.beta2 * moment2[i] + (1.0 - params.beta2) * g * g;
    moment1[i] = m;
    moment2[i] = v;
    var value = values[i];
    if (i < params.decay_count) { value *= 1.0 - lr * params.weight_decay; }
    let m_hat = m / (1.0 - state.beta1_power);
    let v_hat = v / (1.0 - state.beta2_power);
    value -= lr * m_hat / (sqrt(v_hat) + params.eps);
    values[i] = value;
    if (HALF) { halves[i] = to_act4(value); }
}
