//! include prelude/columns
// Parameter gradients of LayerNorm over a chunk of rows: Σ dy·x̂ for γ and Σ dy for β. An invocation
// takes four columns; `shares` of a workgroup's invocations share the rows of each. A single chunk is
// added to the gradients at once, several are added up by `column_sum`.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, shares: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(3) var<storage, read> stats: array<f32>; // [rows, 2]: μ, rstd
@group(0) @binding(4) var<storage, read_write> d_gamma: array<f32>; // [chunks, D]
@group(0) @binding(5) var<storage, read_write> d_beta: array<f32>; // [chunks, D]

override ACCUMULATE: bool = false;

var<workgroup> partial_gamma: array<vec4<f32>, 256>;
var<workgroup> partial_beta: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.groups) { return; }
    let columns = columns_of(id, params.dim, params.shares, lane);
    let first = columns.chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var gamma = vec4<f32>();
    var beta = vec4<f32>();
    for (var row = first + columns.share; row < end; row += params.shares) {
        let i = row * params.dim + columns.all;
        let g = vec4<f32>(f32(dy[i.x]), f32(dy[i.y]), f32(dy[i.z]), f32(dy[i.w]));
        let values = vec4<f32>(f32(x[i.x]), f32(x[i.y]), f32(x[i.z]), f32(x[i.w]));
        gamma += g * (values - stats[2u * row]) * stats[2u * row + 1u];
        beta += g;
    }
    if (params.shares > 1u) {
        partial_gamma[lane] = gamma;
        partial_beta[lane] = beta;
        workgroupBarrier();
        if (columns.share > 0u) { return; }
        for (var i = lane + columns.width; i < SUM_LANES; i += columns.width) {
            gamma += partial_gamma[i];
            beta += partial_beta[i];
        }
    }
    let to = columns.chunk * params.dim + columns.first;
    let left = params.dim - min(columns.first, params.dim);
    if (left > 0u) { store(to, gamma.x, beta.x); }
    if (left > columns.width) { store(to + columns.width, gamma.y, beta.y); }
    if (left > 2u * columns.width) { store(to + 2u * columns.width, gamma.z, beta.z); }
    if (left > 3u * columns.width) { store(to + 3u * columns.width, gamma.w, beta.w); }
}

fn store(i: u32, gamma: f32, beta: f32) {
    if (ACCUMULATE) {
        d_gamma[i] += gamma;
        d_beta[i] += beta;
    } else {
        d_gamma[i] = gamma;
        d_beta[i] = beta;
    }
}
