//! include prelude/reduce
// LayerNorm over the last dimension: y = (x − μ)·rstd·γ + β with the biased variance. One workgroup
// per row; μ and rstd are kept for the backward pass.

struct Params { rows: u32, dim: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> gamma: array<f32>; // [D]
@group(0) @binding(3) var<storage, read> beta: array<f32>; // [D]
@group(0) @binding(4) var<storage, read_write> y: array<act>; // [rows, D]
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // [rows, 2]: μ, rstd

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups);
    if (row >= params.rows) { return; }
    let base = row * params.dim;
    var sum = 0.0;
    for (var d = lane; d < params.dim; d += WG) { sum += f32(x[base + d]); }
    let mean = group_sum(lane, sum) / f32(params.dim);
    // Second pass over the deviations: exact also where the mean is large against the spread.
    var squares = 0.0;
    for (var d = lane; d < params.dim; d += WG) {
        let deviation = f32(x[base + d]) - mean;
        squares += deviation * deviation;
    }
    let variance = group_sum(lane, squares) / f32(params.dim);
    let rstd = 1.0 / sqrt(variance + params.eps);
    for (var d = lane; d < params.dim; d += WG) {
        y[base + d] = to_act((f32(x[base + d]) - mean) * rstd * gamma[d] + beta[d]);
    }
    if (lane == 0u) {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = rstd;
    }
}
