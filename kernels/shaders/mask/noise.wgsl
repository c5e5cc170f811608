//! include prelude/step
//! include prelude/philox
// Noise per patch whose order decides the mask: uniform (random strategy), or led by a regular
// lattice (grid strategy). The smallest values stay visible, or are masked with MASKS_SMALLEST.

struct Params { batch: u32, patches: u32, grid_w: u32, count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> sample_ids: array<u32>; // [B]
@group(0) @binding(3) var<storage, read_write> noise: array<f32>; // [B, L]

override GRID: bool = false;
override MASKS_SMALLEST: bool = false;

// Rank of a cell in an ordered (Bayer) lattice of period 8: keeping the lowest ranks keeps an even
// spread of patches at any ratio, and exactly one of every 2×2 at a quarter.
fn lattice_rank(row: u32, col: u32) -> u32 {
    var rank = 0u;
    for (var bit = 0u; bit < 3u; bit += 1u) {
        let r = (row >> bit) & 1u;
        let c = (col >> bit) & 1u;
        rank = rank * 4u + (((r ^ c) << 1u) | r);
    }
    return rank;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    // One invocation draws four words for four neighbouring patches.
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let quads = (params.patches + 3u) / 4u;
    let b = index / quads;
    let quad = index % quads;
    let words = philox(vec4<u32>(quad, sample_ids[b], step.epoch, 0u), step.seed);
    for (var j = 0u; j < 4u; j += 1u) {
        let patch_id = quad * 4u + j;
        if (patch_id < params.patches) {
            var value = to_unit(words[j]);
            if (GRID) {
                let row = patch_id / params.grid_w;
                let col = patch_id % params.grid_w;
                value += f32(lattice_rank(row, col));
                if (MASKS_SMALLEST) { value = -value; }
            }
            noise[b * params.patches + patch_id] = value;
        }
    }
}
