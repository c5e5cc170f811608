// Streamed softmax attention: o = softmax(q·kᵀ/√d)·v, without an L×L matrix in memory (Dao et al.
// 2022). One invocation owns one query; keys pass in blocks, so that the running maximum and the
// accumulated output are rescaled once per block. The log-sum-exp is kept for the backward pass.

struct Params { tokens: u32, heads: u32, tiles: u32, count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [B, L, H, d]
@group(0) @binding(3) var<storage, read_write> lse: array<f32>; // [B, H, L]

override WG: u32 = 64u;
override DIM_HEAD: u32 = 64u;
const KEYS: u32 = 8u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head_index = id / params.tiles; // b · H + h
    let i = (id - head_index * params.tiles) * WG + lane;
    if (i >= params.tokens) { return; }
    let b = head_index / params.heads;
    let h = head_index - b * params.heads;
    let inner = params.heads * DIM_HEAD;
    let sample = b * params.tokens * 3u * inner + h * DIM_HEAD;

    var q: array<f32, 128>;
    var acc: array<f32, 128>;
    for (var d = 0u; d < DIM_HEAD; d += 1u) {
        q[d] = qkv[sample + i * 3u * inner + d] * params.scale;
        acc[d] = 0.0;
    }
    var maximum = -3.0e38;
    var total = 0.0;
    for (var first = 0u; first < params.tokens; first += KEYS) {
        let keys = min(KEYS, params.tokens - first);
        var scores: array<f32, 8>;
        var block_maximum = maximum;
        for (var j = 0u; j < keys; j += 1u) {
            let k = sample + (first + j) * 3u * inner + inner;
            var score = 0.0;
            for (var d = 0u; d < DIM_HEAD; d += 1u) { score += q[d] * qkv[k + d]; }
            scores[j] = score;
            block_maximum = max(block_maximum, score);
        }
        let shrink = exp(maximum - block_maximum);
        maximum = block_maximum;
        total *= shrink;
        for (var d = 0u; d < DIM_HEAD; d += 1u) { acc[d] *= shrink; }
        for (var j = 0u; j < keys; j += 1u) {
            let v = sample + (first + j) * 3u * inner + 2u * inner;
            let weight = exp(scores[j] - maximum);
            total += weight;
            for (var d = 0u; d < DIM_HEAD; d += 1u) { acc[d] += weight * qkv[v + d]; }
        }
    }
    let o = (b * params.tokens + i) * inner + h * DIM_HEAD;
    for (var d = 0u; d < DIM_HEAD; d += 1u) { out[o + d] = acc[d] / total; }
    lse[head_index * params.tokens + i] = maximum + log(total);
}
