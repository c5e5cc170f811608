// Pixels of patches as rows: all of them, or (GATHER) the visible ones in shuffled order, so that
// only visible patches are embedded.

struct Params {
    rows: u32,     // patches taken from each image
    first: u32,    // with GATHER: rank of the first one in ids_shuffle
    patches: u32,  // L
    grid_w: u32,
    patch_h: u32,
    patch_w: u32,
    channels: u32,
    count: u32,    // B · rows · patch_dim
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> images: array<f32>; // [B, C, H, W]
@group(0) @binding(2) var<storage, read> ids_shuffle: array<u32>; // [B, L]
@group(0) @binding(3) var<storage, read_write> out: array<act>; // [B, rows, patch_dim]

override GATHER: bool = false;
// Flatten as (channel, row, column), like a convolution's weight; else (row, column, channel).
override CHANNEL_FIRST: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let area = params.patch_h * params.patch_w;
    let patch_dim = area * params.channels;
    let row = index / patch_dim;
    let e = index - row * patch_dim;
    let b = row / params.rows;
    var patch_id = row - b * params.rows;
    if (GATHER) { patch_id = ids_shuffle[b * params.patches + params.first + patch_id]; }
    var c: u32;
    var pixel: u32;
    if (CHANNEL_FIRST) {
        c = e / area;
        pixel = e - c * area;
    } else {
        pixel = e / params.channels;
        c = e - pixel * params.channels;
    }
    let width = params.grid_w * params.patch_w;
    let height = params.patches / params.grid_w * params.patch_h;
    let y = patch_id / params.grid_w * params.patch_h + pixel / params.patch_w;
    let x = patch_id % params.grid_w * params.patch_w + pixel % params.patch_w;
    out[index] = to_act(images[((b * params.channels + c) * height + y) * width + x]);
}
