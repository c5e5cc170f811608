// The label of the patch that each token must predict, or NONE.

struct Params { tokens: u32, patches: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> token_target: array<u32>; // [B, T] patch or NONE
@group(0) @binding(2) var<storage, read> labels: array<u32>; // [B, L]
@group(0) @binding(3) var<storage, read_write> out: array<u32>; // [B, T]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let patch_id = token_target[index];
    var label = NONE;
    if (patch_id != NONE) { label = labels[index / params.tokens * params.patches + patch_id]; }
    out[index] = label;
}
