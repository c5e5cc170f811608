// Sums over rows, per column and chunk of rows: bias gradients, the end of other two-stage sums,
// and (FILTER) the gradient of a token that an index map puts in many places. A workgroup takes 32
// columns; eight invocations share the rows of each.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, wanted: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> row_kind: array<u32>; // [rows], with FILTER
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [chunks, D]

// Only rows whose kind is `wanted`.
override FILTER: bool = false;
override ACCUMULATE: bool = false;

const COLUMNS: u32 = 32u;
const SHARES: u32 = 8u;
var<workgroup> partial: array<f32, 256>;

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
    var sum = 0.0;
    if (d < params.dim) {
        for (var row = first + lane / COLUMNS; row < end; row += SHARES) {
            if (FILTER) {
                if (row_kind[row] != params.wanted) { continue; }
            }
            sum += f32(x[row * params.dim + d]);
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane >= COLUMNS || d >= params.dim) { return; }
    var total = 0.0;
    for (var share = 0u; share < SHARES; share += 1u) { total += partial[lane + share * COLUMNS]; }
    let index = chunk * params.dim + d;
    if (ACCUMULATE) { total += out[index]; }
    out[index] = total;
}
