//! include prelude/step
// Exponential moving average of a slab's values, once they are updated. It follows faster at first, so that a
// short run does not stand at its initial values: after t updates the share is at least 9 / (10 + t), which is a
// decay of at most (1 + t) / (10 + t).

struct Params {
    count: u32, // vec4s in the slab
    share: f32, // of the values in the average; 1 - decay
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: State;
@group(0) @binding(2) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> averages: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(group, groups) * 64u + lane;
    if (i >= params.count || state.apply == 0u) { return; }
    let share = max(params.share, 9.0 / (10.0 + f32(state.updates)));
    averages[i] += share * (values[i] - averages[i]);
}
