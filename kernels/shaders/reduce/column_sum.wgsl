// Sums over rows, per column and chunk of rows: bias gradients, the end of other two-stage sums,
// and (FILTER) the gradient of a token that an index map puts in many places. A workgroup takes 32
// columns; eight invocations share the rows of each. The groups of a second sum may follow the
// first one's, which saves a launch.

struct Params {
    rows: u32, dim: u32, rows_per_chunk: u32, wanted: u32, groups: u32,
    // The second sum, in one chunk.
    rows2: u32, dim2: u32, groups2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [rows, D]
@group(0) @binding(2) var<storage, read> row_kind: array<u32>; // [rows], with FILTER
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [chunks, D]
@group(0) @binding(4) var<storage, read> x2: array<f32>; // [rows2, D2]
@group(0) @binding(5) var<storage, read_write> out2: array<f32>; // [D2]

// Only rows whose kind is `wanted`.
override FILTER: bool = false;
override ACCUMULATE: bool = false;

const COLUMNS: u32 = 32u;
const SHARES: u32 = 8u;
var<workgroup> partial: array<f32, 256>;

fn load(second: bool, i: u32) -> f32 {
    if (second) { return x2[i]; }
    return f32(x[i]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(group, groups);
    if (at >= params.groups + params.groups2) { return; }
    let second = at >= params.groups;
    let id = select(at, at - params.groups, second);
    let rows = select(params.rows, params.rows2, second);
    let dim = select(params.dim, params.dim2, second);
    let per_chunk = select(params.rows_per_chunk, rows, second);
    let strips = (dim + COLUMNS - 1u) / COLUMNS;
    let chunk = id / strips;
    let d = (id - chunk * strips) * COLUMNS + lane % COLUMNS;
    let first = chunk * per_chunk;
    let end = min(first + per_chunk, rows);
    var sum = 0.0;
    if (d < dim) {
        for (var row = first + lane / COLUMNS; row < end; row += SHARES) {
            if (FILTER) {
                if (row_kind[row] != params.wanted) { continue; }
            }
            sum += load(second, row * dim + d);
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane >= COLUMNS || d >= dim) { return; }
    var total = 0.0;
    for (var share = 0u; share < SHARES; share += 1u) { total += partial[lane + share * COLUMNS]; }
    let index = chunk * dim + d;
    if (second) {
        out2[index] += total;
        return;
    }
    if (ACCUMULATE) { total += out[index]; }
    out[index] = total;
}
