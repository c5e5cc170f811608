// Parameter gradients of LayerNorm over a chunk of rows: Σ dy·x̂ for γ and Σ dy for β. A workgroup
// takes 32 columns; eight invocations share the rows of each. A single chunk is added to the
// gradients at once, several are added up by `column_sum`.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(3) var<storage, read> stats: array<f32>; // [rows, 2]: μ, rstd
@group(0) @binding(4) var<storage, read_write> d_gamma: array<f32>; // [chunks, D]
@group(0) @binding(5) var<storage, read_write> d_beta: array<f32>; // [chunks, D]

override ACCUMULATE: bool = false;

const COLUMNS: u32 = 32u;
const SHARES: u32 = 8u;
var<workgroup> partial: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.groups) { return; }
    let strips = (params.dim + COLUMNS - 1u) / COLUMNS;
    let chunk = id / strips;
    let d = (id - chunk * strips) * COLUMNS + lane % COLUMNS;
    let first = chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var sums = vec2<f32>();
    if (d < params.dim) {
        for (var row = first + lane / COLUMNS; row < end; row += SHARES) {
            let g = f32(dy[row * params.dim + d]);
            let normalised = (f32(x[row * params.dim + d]) - stats[2u * row]) * stats[2u * row + 1u];
            sums += vec2<f32>(g * normalised, g);
        }
    }
    partial[lane] = sums;
    workgroupBarrier();
    if (lane >= COLUMNS || d >= params.dim) { return; }
    var total = vec2<f32>();
    for (var share = 0u; share < SHARES; share += 1u) { total += partial[lane + share * COLUMNS]; }
    let index = chunk * params.dim + d;
    if (ACCUMULATE) { total += vec2<f32>(d_gamma[index], d_beta[index]); }
    d_gamma[index] = total.x;
    d_beta[index] = total.y;
}
