//! needs labels
// BatchNorm without affine over rows, one invocation per feature. TRAIN: batch statistics (biased
// variance) normalise, running ones are updated (unbiased variance); else running ones normalise. What is not
// finite updates nothing: the step is skipped, which is only known after the backward pass.

struct Params { rows: u32, dim: u32, eps: f32, momentum: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act>; // [B, D]
@group(0) @binding(2) var<storage, read_write> running_mean: array<f32>; // [D]
@group(0) @binding(3) var<storage, read_write> running_var: array<f32>; // [D]
@group(0) @binding(4) var<storage, read_write> y: array<act>; // [B, D]
@group(0) @binding(5) var<storage, read_write> stats: array<f32>; // [D, 2]: μ, rstd

override TRAIN: bool = false;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let d = group_index(group, groups) * 64u + lane;
    if (d >= params.dim) { return; }
    var mean = running_mean[d];
    var variance = running_var[d];
    if (TRAIN) {
        let n = f32(params.rows);
        var sum = 0.0;
        for (var r = 0u; r < params.rows; r += 1u) { sum += f32(x[r * params.dim + d]); }
        mean = sum / n;
        var squares = 0.0;
        for (var r = 0u; r < params.rows; r += 1u) {
            let deviation = f32(x[r * params.dim + d]) - mean;
            squares += deviation * deviation;
        }
        variance = squares / n;
        let unbiased = squares / max(n - 1.0, 1.0);
        let next_mean = running_mean[d] + params.momentum * (mean - running_mean[d]);
        let next_var = running_var[d] + params.momentum * (unbiased - running_var[d]);
        if (!is_non_finite(next_mean) && !is_non_finite(next_var)) {
            running_mean[d] = next_mean;
            running_var[d] = next_var;
        }
    }
    let rstd = 1.0 / sqrt(variance + params.eps);
    for (var r = 0u; r < params.rows; r += 1u) {
        let i = r * params.dim + d;
        y[i] = to_act((f32(x[i]) - mean) * rstd);
    }
    stats[2u * d] = mean;
    stats[2u * d + 1u] = rstd;
}
