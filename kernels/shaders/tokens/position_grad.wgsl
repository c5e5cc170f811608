// Gradient of a learned position table: each row sums over the samples in which a token used it.

struct Params { batch: u32, tokens: u32, rows: u32, dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [B, T, D]
@group(0) @binding(2) var<storage, read> row_token: array<u32>; // [B, R]
@group(0) @binding(3) var<storage, read_write> d_positions: array<f32>; // [R, D], accumulated

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let row = index / params.dim;
    let d = index - row * params.dim;
    var sum = 0.0;
    for (var b = 0u; b < params.batch; b += 1u) {
        let token = row_token[b * params.rows + row];
        if (token != NONE) { sum += f32(dy[(b * params.tokens + token) * params.dim + d]); }
    }
    d_positions[index] += sum;
}
