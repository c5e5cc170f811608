//! include prelude/columns
// Sums over rows, per column and chunk of rows: bias gradients, the end of other two-stage sums,
// and (FILTER) the gradient of a token that an index map puts in many places. An invocation takes
// four columns; `shares` of a workgroup's invocations share the rows of each. The groups of a second
// sum may follow the first one's, which saves a launch.

struct Params {
    rows: u32, dim: u32, rows_per_chunk: u32, shares: u32, wanted: u32, groups: u32,
    // The second sum, in one chunk.
    rows2: u32, dim2: u32, shares2: u32, groups2: u32,
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

var<workgroup> partial: array<vec4<f32>, 256>;

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
    let shares = select(params.shares, params.shares2, second);
    let columns = columns_of(id, dim, shares, lane);
    let first = columns.chunk * per_chunk;
    let end = min(first + per_chunk, rows);
    var sum = vec4<f32>();
    for (var row = first + columns.share; row < end; row += shares) {
        if (FILTER) {
            if (row_kind[row] != params.wanted) { continue; }
        }
        let i = row * dim + columns.all;
        sum += vec4<f32>(load(second, i.x), load(second, i.y), load(second, i.z), load(second, i.w));
    }
    if (shares > 1u) {
        partial[lane] = sum;
        workgroupBarrier();
        if (columns.share > 0u) { return; }
        for (var i = lane + columns.width; i < SUM_LANES; i += columns.width) { sum += partial[i]; }
    }
    let to = columns.chunk * dim + columns.first;
    let left = dim - min(columns.first, dim);
    if (left > 0u) { store(second, to, sum.x); }
    if (left > columns.width) { store(second, to + columns.width, sum.y); }
    if (left > 2u * columns.width) { store(second, to + 2u * columns.width, sum.z); }
    if (left > 3u * columns.width) { store(second, to + 3u * columns.width, sum.w); }
}

fn store(second: bool, i: u32, sum: f32) {
    if (second) {
        out2[i] += sum;
    } else if (ACCUMULATE) {
        out[i] += sum;
    } else {
        out[i] = sum;
    }
}
