//! include prelude/reduce
//! include prelude/step
//! include prelude/loss_scale
// Cross entropy with labels (smoothed) or with soft targets, forward and backward at once, one
// workgroup per row: loss = Σ t·(lse − x), dx = (softmax·Σt − t)·scale.

struct Params { rows: u32, classes: u32, smoothing: f32, grad_scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<act>; // [B, C]
@group(0) @binding(2) var<storage, read> labels: array<u32>; // [B], without SOFT
@group(0) @binding(3) var<storage, read> targets: array<f32>; // [B, C], with SOFT
@group(0) @binding(4) var<storage, read_write> row_loss: array<f32>; // [B]
@group(0) @binding(5) var<storage, read_write> d_logits: array<act>; // [B, C]

override SOFT: bool = false;

fn wanted(row: u32, c: u32) -> f32 {
    if (SOFT) { return targets[row * params.classes + c]; }
    let hit = select(0.0, 1.0 - params.smoothing, labels[row] == c);
    return hit + params.smoothing / f32(params.classes);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(group, groups);
    if (row >= params.rows) { return; }
    let base = row * params.classes;
    var maximum = -3.0e38;
    for (var c = lane; c < params.classes; c += WG) { maximum = max(maximum, f32(logits[base + c])); }
    maximum = group_max(lane, maximum);
    var sums = vec2<f32>(0.0); // Σ exp, Σ t
    for (var c = lane; c < params.classes; c += WG) {
        sums += vec2<f32>(exp(f32(logits[base + c]) - maximum), wanted(row, c));
    }
    let total = group_sum2(lane, sums);
    let log_sum = log(total.x);
    let grad_scale = params.grad_scale * loss_scale();
    var loss = 0.0;
    for (var c = lane; c < params.classes; c += WG) {
        let shifted = f32(logits[base + c]) - maximum;
        let t = wanted(row, c);
        loss += t * (log_sum - shifted);
        d_logits[base + c] = to_act((exp(shifted) / total.x * total.y - t) * grad_scale);
    }
    let row_total = group_sum(lane, loss);
    if (lane == 0u) { row_loss[row] = row_total; }
}
