//! include prelude/step
//! include prelude/philox
// Noise per patch for the block strategy: rectangles of random size and aspect, as in BEiT
// (Bao et al. 2021), are placed until the number of masked patches is reached; what no rectangle
// fits into is filled at random. Integers only decide, so every platform draws the same blocks.

struct Params { batch: u32, grid_h: u32, grid_w: u32, num_masked: u32, min_area: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> sample_ids: array<u32>; // [B]
@group(0) @binding(3) var<storage, read_write> noise: array<f32>; // [B, L]

override MASKS_SMALLEST: bool = false;

// Rejected rectangles in a row before the rest is left to chance.
const PATIENCE: u32 = 40u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let b = group_index(group, groups) * 8u + lane;
    if (b >= params.batch) { return; }
    let h = params.grid_h;
    let w = params.grid_w;
    let base = b * h * w;
    // Values below 1 are free, 1 and above are masked by a block.
    for (var i = 0u; i < h * w; i += 1u) {
        let words = philox(vec4<u32>(i, sample_ids[b], step.epoch, 1u), step.seed);
        noise[base + i] = to_unit(words.x);
    }
    var masked = 0u;
    var failures = 0u;
    for (var draw = 0u; failures < PATIENCE && masked < params.num_masked; draw += 1u) {
        let words = philox(vec4<u32>(draw, sample_ids[b], step.epoch, 2u), step.seed);
        let rows = 1u + words.x % h;
        let cols = 1u + words.y % w;
        let left = params.num_masked - masked;
        failures += 1u;
        // Aspect between 0.3 and 1 / 0.3.
        if (rows * cols < min(params.min_area, left) || 3u * rows > 10u * cols
            || 3u * cols > 10u * rows) { continue; }
        let top = words.z % (h - rows + 1u);
        let start = words.w % (w - cols + 1u);
        var fresh = 0u;
        for (var r = top; r < top + rows; r += 1u) {
            for (var c = start; c < start + cols; c += 1u) {
                if (noise[base + r * w + c] < 1.0) { fresh += 1u; }
            }
        }
        if (fresh == 0u || fresh > left) { continue; }
        for (var r = top; r < top + rows; r += 1u) {
            for (var c = start; c < start + cols; c += 1u) {
                let i = base + r * w + c;
                if (noise[i] < 1.0) { noise[i] += 1.0; }
            }
        }
        masked += fresh;
        failures = 0u;
    }
    if (MASKS_SMALLEST) {
        for (var i = 0u; i < h * w; i += 1u) { noise[base + i] = -noise[base + i]; }
    }
}
