//! include prelude/reduce
// Input gradient of LayerNorm: dx (+)= rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·γ.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(3) var<storage, read> gamma: array<f32>; // [D]
@group(0) @binding(4) var<storage, read> stats: array<f32>; // [rows, 2]: μ, rstd
@group(0) @binding(5) var<storage, read_write> dx: array<act>; // [rows, D]

// Add to the gradient that the residual branch left there.
override ACCUMULATE: bool = false;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups);
    if (row >= params.rows) { return; }
    let base = row * params.dim;
    let mean = stats[2u * row];
    let rstd = stats[2u * row + 1u];
    var sums = vec2<f32>(0.0);
    for (var d = lane; d < params.dim; d += WG) {
        let g = f32(dy[base + d]) * gamma[d];
        sums += vec2<f32>(g, g * (f32(x[base + d]) - mean) * rstd);
    }
    let means = group_sum2(lane, sums) / f32(params.dim);
    for (var d = lane; d < params.dim; d += WG) {
        let normalised = (f32(x[base + d]) - mean) * rstd;
        var value = rstd * (f32(dy[base + d]) * gamma[d] - means.x - normalised * means.y);
        if (ACCUMULATE) { value += f32(dx[base + d]); }
        dx[base + d] = to_act(value);
    }
}
