// Sums over rows, per column and chunk of rows: bias gradients, the end of other two-stage sums,
// and (FILTER) the gradient of a token that an index map puts in many places.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, wanted: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, D]
@group(0) @binding(2) var<storage, read> row_kind: array<u32>; // [rows], with FILTER
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [chunks, D]

// Only rows whose kind is `wanted`.
override FILTER: bool = false;
override ACCUMULATE: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let chunk = index / params.dim;
    let d = index - chunk * params.dim;
    let first = chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var sum = 0.0;
    if (ACCUMULATE) { sum = out[index]; }
    for (var row = first; row < end; row += 1u) {
        if (FILTER) {
            if (row_kind[row] != params.wanted) { continue; }
        }
        sum += x[row * params.dim + d];
    }
    out[index] = sum;
}
