//! needs labels
//! include prelude/reduce
// Gradient of softmax: dx = y·(dy − Σ dy·y), one workgroup per row.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> y: array<act>; // [rows, D]
@group(0) @binding(3) var<storage, read_write> dx: array<act>; // [rows, D]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups);
    if (row >= params.rows) { return; }
    let base = row * params.dim;
    var sum = 0.0;
    for (var d = lane; d < params.dim; d += WG) { sum += f32(dy[base + d]) * f32(y[base + d]); }
    let dot = group_sum(lane, sum);
    for (var d = lane; d < params.dim; d += WG) {
        dx[base + d] = to_act(f32(y[base + d]) * (f32(dy[base + d]) - dot));
    }
}
