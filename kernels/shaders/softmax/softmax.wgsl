//! needs labels
//! include prelude/reduce
// Softmax over the last dimension, one workgroup per row.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read_write> y: array<act>; // [rows, D]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups);
    if (row >= params.rows) { return; }
    let base = row * params.dim;
    var maximum = -3.0e38;
    for (var d = lane; d < params.dim; d += WG) { maximum = max(maximum, f32(x[base + d])); }
    maximum = group_max(lane, maximum);
    var sum = 0.0;
    for (var d = lane; d < params.dim; d += WG) { sum += exp(f32(x[base + d]) - maximum); }
    let scale = 1.0 / group_sum(lane, sum);
    for (var d = lane; d < params.dim; d += WG) {
        y[base + d] = to_act(exp(f32(x[base + d]) - maximum) * scale);
    }
}
