// A stack's input: given tokens, cls and mask tokens put where `token_maps` says, positions added.

struct Params { tokens: u32, sources: u32, dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> given: array<act>; // [B, S, D]
@group(0) @binding(2) var<storage, read> token_source: array<u32>; // [B, T]
@group(0) @binding(3) var<storage, read> token_row: array<u32>; // [B, T]
@group(0) @binding(4) var<storage, read> cls_token: array<f32>; // [D]
@group(0) @binding(5) var<storage, read> mask_token: array<f32>; // [D]
@group(0) @binding(6) var<storage, read> positions: array<f32>; // [R, D]
@group(0) @binding(7) var<storage, read_write> out: array<act>; // [B, T, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let token = index / params.dim;
    let d = index - token * params.dim;
    let source = token_source[token];
    let row = token_row[token];
    var value: f32;
    if (source == CLS_TOKEN) {
        value = cls_token[d];
    } else if (source == MASK_TOKEN) {
        value = mask_token[d];
    } else {
        value = f32(given[(token / params.tokens * params.sources + source) * params.dim + d]);
    }
    if (row != NONE) { value += positions[row * params.dim + d]; }
    out[index] = to_act(value);
}
