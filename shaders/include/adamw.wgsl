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
struct Step { seed: vec2<u32>, epoch: u32, step: u32, lr: f32 }
struct State { beta1_power: f32, beta2_power: f32, clip: f32, apply: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> state: State;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.count || state.apply == 0u) { return; }
    let lr = step.lr * params.lr_scale;
    // The factor undoes a scaled loss, too.
    let g = load_grad(i) * state.clip;
    let m = params.beta1 * load_moment1(i) + (1.0 - params.beta1) * g;
    let v = params.beta2 * load_moment2(i) + (1.0 - params.beta2) * g * g;
    moment1[i] = m;
    moment2[i] = v;
    var value = load_value(i);
    if (i < params.decay_count) { value *= 1.0 - lr * params.weight_decay; }
    let m_hat = m / (1.0 - state.beta1_power);
    let v_hat = v / (1.0 - state.beta2_power);
    store_value(i, value - lr * m_hat / (sqrt(v_hat) + params.eps));
}
