// `layer_norm_backward_params` for CPU drivers: an invocation owns four columns.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> d_gamma: array<vec4<f32>>; // [chunks, D]
@group(0) @binding(5) var<storage, read_write> d_beta: array<vec4<f32>>; // [chunks, D]

override ACCUMULATE: bool = false;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 8u + lane;
    let vectors = params.dim / 4u;
    if (index >= params.count / 4u) { return; }
    let chunk = index / vectors;
    let v = index - chunk * vectors;
    let first = chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var gamma_sum = vec4<f32>();
    var beta_sum = vec4<f32>();
    for (var row = first; row < end; row += 1u) {
        let own = load_stats(row);
        let g = load_dy(row * vectors + v);
        gamma_sum += g * (load_x(row * vectors + v) - own.x) * own.y;
        beta_sum += g;
    }
    if (ACCUMULATE) {
        gamma_sum += d_gamma[index];
        beta_sum += d_beta[index];
    }
    d_gamma[index] = gamma_sum;
    d_beta[index] = beta_sum;
}
