// Rows picked by an index map; the gradient of `assemble_tokens` for its given tokens.

struct Params { tokens: u32, sources: u32, dim: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<act>; // [B, T, D]
@group(0) @binding(2) var<storage, read> source_token: array<u32>; // [B, S]
@group(0) @binding(3) var<storage, read_write> d_given: array<act>; // [B, S, D]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let source = index / params.dim;
    let d = index - source * params.dim;
    let token = source / params.sources * params.tokens + source_token[source];
    d_given[index] = dy[token * params.dim + d];
}
