// out[i] = table[ids[i]].

struct Params { dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>; // [R, D]
@group(0) @binding(2) var<storage, read> ids: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    out[index] = table[ids[index / params.dim] * params.dim + index % params.dim];
}
