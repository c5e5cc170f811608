//! include prelude/reduce
//! include prelude/step
//! include prelude/loss_scale
// Mean squared error on the masked patches, forward and backward at once: one workgroup per decoder
// token reads its patch's pixels from the image, normalises them by the patch's own mean and
// unbiased variance if asked (or reads the patch's row of other values, ROWS), and writes the patch's loss and the gradient of its prediction.
// Tokens without a target (cls, visible patches) get a zero gradient.

struct Params {
    tokens: u32,
    grid_w: u32,
    grid_h: u32,
    patch_h: u32,
    patch_w: u32,
    channels: u32,
    count: u32,      // B · tokens
    grad_scale: f32, // 2 / (patch_dim · masked patches of the whole step)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> images: array<f32>; // [B, C, H, W]; with ROWS [B, L, P]
@group(0) @binding(2) var<storage, read> token_target: array<u32>; // [B, T] patch or NONE
@group(0) @binding(3) var<storage, read> pred: array<act>; // [B, T, P], pixels (row, column, channel)
@group(0) @binding(4) var<storage, read_write> patch_loss: array<f32>; // [B, T]
@group(0) @binding(5) var<storage, read_write> d_pred: array<act>; // [B, T, P]

// Rows of values, as if each patch were one pixel of P channels.
override ROWS: bool = false;
override NORM_PIX: bool = false;
override BACKWARD: bool = false;
// Added to the variance of a patch (facebookresearch/mae).
const NORM_PIX_EPS: f32 = 1e-6;

fn pixel(b: u32, patch_id: u32, e: u32) -> f32 {
    if (ROWS) { return images[(b * params.grid_w * params.grid_h + patch_id) * params.channels + e]; }
    let position = e / params.channels;
    let c = e - position * params.channels;
    let y = patch_id / params.grid_w * params.patch_h + position / params.patch_w;
    let x = patch_id % params.grid_w * params.patch_w + position % params.patch_w;
    let width = params.grid_w * params.patch_w;
    let height = params.grid_h * params.patch_h;
    return images[((b * params.channels + c) * height + y) * width + x];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let token = group_index(group, groups);
    if (token >= params.count) { return; }
    let patch_dim = params.patch_h * params.patch_w * params.channels;
    let base = token * patch_dim;
    let patch_id = token_target[token];
    // Tokens without a target go through the motions on patch 0, so that barriers stay uniform.
    let is_target = patch_id != NONE;
    let source = select(0u, patch_id, is_target);
    let b = token / params.tokens;

    var mean = 0.0;
    var rstd = 1.0;
    if (NORM_PIX) {
        var sum = 0.0;
        for (var e = lane; e < patch_dim; e += WG) { sum += pixel(b, source, e); }
        mean = group_sum(lane, sum) / f32(patch_dim);
        var squares = 0.0;
        for (var e = lane; e < patch_dim; e += WG) {
            let deviation = pixel(b, source, e) - mean;
            squares += deviation * deviation;
        }
        let variance = group_sum(lane, squares) / f32(max(patch_dim, 2u) - 1u);
        rstd = 1.0 / sqrt(variance + NORM_PIX_EPS);
    }
    let grad_scale = params.grad_scale * loss_scale();
    var loss = 0.0;
    for (var e = lane; e < patch_dim; e += WG) {
        var difference = 0.0;
        if (is_target) { difference = f32(pred[base + e]) - (pixel(b, source, e) - mean) * rstd; }
        loss += difference * difference;
        if (BACKWARD) { d_pred[base + e] = to_act(difference * grad_scale); }
    }
    let total = group_sum(lane, loss);
    if (lane == 0u) { patch_loss[token] = total / f32(patch_dim); }
}
