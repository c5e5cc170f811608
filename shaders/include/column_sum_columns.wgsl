// `column_sum` for CPU drivers: an invocation owns four columns.

struct Params { rows: u32, dim: u32, rows_per_chunk: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [chunks, D]

override ACCUMULATE: bool = false;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 8u + lane;
    if (index >= params.count / 4u) { return; }
    let vectors = params.dim / 4u;
    let chunk = index / vectors;
    let v = index - chunk * vectors;
    let first = chunk * params.rows_per_chunk;
    let end = min(first + params.rows_per_chunk, params.rows);
    var sum = vec4<f32>();
    if (ACCUMULATE) { sum = out[index]; }
    for (var row = first; row < end; row += 1u) {
        sum += load_x(row * vectors + v);
    }
    out[index] = sum;
}
