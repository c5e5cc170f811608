// Parameter gradients of LayerNorm, summed over a chunk of rows: Σ dy·x̂ for γ and Σ dy for β.
// `column_sum` adds the chunks up.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<f32>; // [rows, D]
@group(0) @binding(3) var<storage, read> stats: array<f32>; // [rows, 2]: μ, rstd
@group(0) @binding(4) var<storage, read_write> d_gamma: array<f32>; // [chunks, D]
@group(0) @binding(5) var<storage, read_write> d_beta: array<f32>; // [chunks, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let chunk = index / params.dim;
    let d = index - chunk * params.dim;
    let first = chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var gamma_sum = 0.0;
    var beta_sum = 0.0;
    for (var row = first; row < end; row += 1u) {
        let g = dy[row * params.dim + d];
        gamma_sum += g * (x[row * params.dim + d] - stats[2u * row]) * stats[2u * row + 1u];
        beta_sum += g;
    }
    d_gamma[index] = gamma_sum;
    d_beta[index] = beta_sum;
}
