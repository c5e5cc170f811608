// out = shortcut + scale · branch: a residual connection. SCALED: one scale per sample, by which the branch is
// dropped for some samples; without SHORTCUT that is the branch's gradient.

struct Params {
    count: u32,
    per_sample: u32,
    first: u32, // of this connection's scales
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<act>; // [B, ..], with SHORTCUT
@group(0) @binding(2) var<storage, read> b: array<act>; // [B, ..]
@group(0) @binding(3) var<storage, read> scales: array<f32>; // [connections, B], with SCALED
@group(0) @binding(4) var<storage, read_write> out: array<act>; // [B, ..]

override SHORTCUT: bool = true;
override SCALED: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    var value = f32(b[index]);
    if (SCALED) { value *= scales[params.first + index / params.per_sample]; }
    if (SHORTCUT) { value += f32(a[index]); }
    out[index] = to_act(value);
}
