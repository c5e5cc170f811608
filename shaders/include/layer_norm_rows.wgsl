// `layer_norm` for CPU drivers: one invocation owns a row, so nothing is reduced over a workgroup, and reads
// it as vectors.

struct Params { rows: u32, dim: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> y: array<act4>; // [rows, D]
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>; // [rows, 2]: μ, rstd

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups) * 8u + lane;
    if (row >= params.rows) { return; }
    let vectors = params.dim / 4u;
    let base = row * vectors;
    var sums = vec4<f32>();
    for (var v = 0u; v < vectors; v += 1u) { sums += load_x(base + v); }
    let mean = dot(sums, vec4<f32>(1.0)) / f32(params.dim);
    var squares = vec4<f32>();
    for (var v = 0u; v < vectors; v += 1u) {
        let deviation = load_x(base + v) - mean;
        squares += deviation * deviation;
    }
    let rstd = 1.0 / sqrt(dot(squares, vec4<f32>(1.0)) / f32(params.dim) + params.eps);
    for (var v = 0u; v < vectors; v += 1u) {
        let normalised = (load_x(base + v) - mean) * rstd;
        y[base + v] = to_act4(normalised * load_gamma(v) + load_beta(v));
    }
    stats[row] = vec2<f32>(mean, rstd);
}
