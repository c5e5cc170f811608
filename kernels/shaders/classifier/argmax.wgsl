// Place of the largest value of each row, the first of equals.

struct Params { rows: u32, dim: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, D]
@group(0) @binding(2) var<storage, read_write> out: array<u32>; // [rows]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups) * 64u + lane;
    if (row >= params.rows) { return; }
    var best = 0u;
    var largest = x[row * params.dim];
    for (var d = 1u; d < params.dim; d += 1u) {
        let value = x[row * params.dim + d];
        if (value > largest) {
            largest = value;
            best = d;
        }
    }
    out[row] = best;
}
