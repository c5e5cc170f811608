// Mean over a range of tokens: one token (cls) or all patches.

struct Params { tokens: u32, first: u32, pooled: u32, dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [B, T, D]
@group(0) @binding(2) var<storage, read_write> y: array<act>; // [B, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let b = index / params.dim;
    let d = index - b * params.dim;
    var sum = 0.0;
    for (var t = params.first; t < params.first + params.pooled; t += 1u) {
        sum += f32(x[(b * params.tokens + t) * params.dim + d]);
    }
    y[index] = to_act(sum / f32(params.pooled));
}
