//! needs labels
// Gradient of `mean_pool`: shared evenly over the range, zero elsewhere.

struct Params { tokens: u32, first: u32, pooled: u32, dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [B, D]
@group(0) @binding(2) var<storage, read_write> dx: array<act>; // [B, T, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let row = index / params.dim;
    let b = row / params.tokens;
    let t = row - b * params.tokens;
    let in_range = t >= params.first && t < params.first + params.pooled;
    let d = index - row * params.dim;
    dx[index] = to_act(select(0.0, f32(dy[b * params.dim + d]) / f32(params.pooled), in_range));
}
