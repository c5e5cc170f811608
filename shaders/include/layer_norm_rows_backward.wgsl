// `layer_norm_backward` for CPU drivers: one invocation owns a row and reads it as vectors.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read> stats: array<vec2<f32>>; // [rows, 2]: μ, rstd
@group(0) @binding(5) var<storage, read_write> dx: array<act4>; // [rows, D]

// Add to the gradient that the residual branch left there.
override ACCUMULATE: bool = false;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups) * 8u + lane;
    if (row >= params.rows) { return; }
    let vectors = params.dim / 4u;
    let base = row * vectors;
    let mean = stats[row].x;
    let rstd = stats[row].y;
    var sum_g = vec4<f32>();
    var sum_gx = vec4<f32>();
    for (var v = 0u; v < vectors; v += 1u) {
        let g = load_dy(base + v) * load_gamma(v);
        sum_g += g;
        sum_gx += g * (load_x(base + v) - mean) * rstd;
    }
    let mean_g = dot(sum_g, vec4<f32>(1.0)) / f32(params.dim);
    let mean_gx = dot(sum_gx, vec4<f32>(1.0)) / f32(params.dim);
    for (var v = 0u; v < vectors; v += 1u) {
        let g = load_dy(base + v) * load_gamma(v);
        let normalised = (load_x(base + v) - mean) * rstd;
        var value = rstd * (g - mean_g - normalised * mean_gx);
        if (ACCUMULATE) { value += vec4<f32>(dx[base + v]); }
        dx[base + v] = to_act4(value);
    }
}
