//! needs labels
// Input gradient of BatchNorm in training: dx = rstd·(dy − mean(dy) − x̂·mean(dy·x̂)), one
// invocation per feature.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [B, D]
@group(0) @binding(2) var<storage, read> y: array<act>; // [B, D], x̂
@group(0) @binding(3) var<storage, read> stats: array<f32>; // [D, 2]: μ, rstd
@group(0) @binding(4) var<storage, read_write> dx: array<act>; // [B, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let d = group_index(group, groups) * 64u + lane;
    if (d >= params.dim) { return; }
    var sums = vec2<f32>(0.0);
    for (var r = 0u; r < params.rows; r += 1u) {
        let i = r * params.dim + d;
        sums += vec2<f32>(f32(dy[i]), f32(dy[i]) * f32(y[i]));
    }
    let means = sums / f32(params.rows);
    for (var r = 0u; r < params.rows; r += 1u) {
        let i = r * params.dim + d;
        dx[i] = to_act(stats[2u * d + 1u] * (f32(dy[i]) - means.x - f32(y[i]) * means.y));
    }
}
