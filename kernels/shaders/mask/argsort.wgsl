// Stable argsort of each sample's noise by counting: a patch's rank is the number of patches that
// come before it. `ids_restore[i]` is that rank, `ids_shuffle` its inverse.

struct Params { patches: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> noise: array<f32>; // [B, L]
@group(0) @binding(2) var<storage, read_write> ids_shuffle: array<u32>; // [B, L]
@group(0) @binding(3) var<storage, read_write> ids_restore: array<u32>; // [B, L]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let base = index / params.patches * params.patches;
    let i = index - base;
    let value = noise[index];
    var rank = 0u;
    for (var j = 0u; j < params.patches; j += 1u) {
        let other = noise[base + j];
        if (other < value || (other == value && j < i)) { rank += 1u; }
    }
    ids_restore[index] = rank;
    ids_shuffle[base + rank] = i;
}
