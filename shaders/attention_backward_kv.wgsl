// Key and value gradients of attention, one invocation per key: dv = Σ p·dO, dk = scale · Σ ds·q
// over the queries, with p and ds as in `attention_backward_q`.

struct Params { tokens: u32, heads: u32, tiles: u32, count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read> lse: array<f32>; // [B, H, L]
@group(0) @binding(3) var<storage, read> delta: array<f32>; // [B, H, L]
@group(0) @binding(4) var<storage, read> d_out: array<f32>; // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> d_qkv: array<f32>; // [B, L, 3, H, d]

override WG: u32 = 64u;
override DIM_HEAD: u32 = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head_index = id / params.tiles;
    let j = (id - head_index * params.tiles) * WG + lane;
    if (j >= params.tokens) { return; }
    let b = head_index / params.heads;
    let h = head_index - b * params.heads;
    let inner = params.heads * DIM_HEAD;
    let sample = b * params.tokens * 3u * inner + h * DIM_HEAD;

    var k: array<f32, 128>;
    var v: array<f32, 128>;
    var d_k: array<f32, 128>;
    var d_v: array<f32, 128>;
    let own = sample + j * 3u * inner + inner;
    for (var d = 0u; d < DIM_HEAD; d += 1u) {
        k[d] = qkv[own + d] * params.scale;
        v[d] = qkv[own + inner + d];
        d_k[d] = 0.0;
        d_v[d] = 0.0;
    }
    for (var i = 0u; i < params.tokens; i += 1u) {
        let q = sample + i * 3u * inner;
        let o = (b * params.tokens + i) * inner + h * DIM_HEAD;
        var score = 0.0;
        var d_p = 0.0;
        for (var d = 0u; d < DIM_HEAD; d += 1u) {
            score += k[d] * qkv[q + d];
            d_p += v[d] * d_out[o + d];
        }
        let row = head_index * params.tokens + i;
        let p = exp(score - lse[row]);
        let d_score = p * (d_p - delta[row]);
        for (var d = 0u; d < DIM_HEAD; d += 1u) {
            d_v[d] += p * d_out[o + d];
            d_k[d] += d_score * qkv[q + d];
        }
    }
    for (var d = 0u; d < DIM_HEAD; d += 1u) {
        d_qkv[own + d] = d_k[d] * params.scale;
        d_qkv[own + inner + d] = d_v[d];
    }
}
