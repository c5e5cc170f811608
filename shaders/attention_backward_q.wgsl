// Query gradient of attention, one invocation per query: with p = exp(s − lse), δ = Σ dO·O and
// ds = p·(dO·v − δ), dq = scale · Σ ds·k. δ is kept for `attention_backward_kv`.

struct Params { tokens: u32, heads: u32, tiles: u32, count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read> out: array<f32>; // [B, L, H, d]
@group(0) @binding(3) var<storage, read> lse: array<f32>; // [B, H, L]
@group(0) @binding(4) var<storage, read> d_out: array<f32>; // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> d_qkv: array<f32>; // [B, L, 3, H, d]
@group(0) @binding(6) var<storage, read_write> delta: array<f32>; // [B, H, L]

override WG: u32 = 64u;
override DIM_HEAD: u32 = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head_index = id / params.tiles;
    let i = (id - head_index * params.tiles) * WG + lane;
    if (i >= params.tokens) { return; }
    let b = head_index / params.heads;
    let h = head_index - b * params.heads;
    let inner = params.heads * DIM_HEAD;
    let sample = b * params.tokens * 3u * inner + h * DIM_HEAD;

    var q: array<f32, 128>;
    var d_o: array<f32, 128>;
    var d_q: array<f32, 128>;
    let o = (b * params.tokens + i) * inner + h * DIM_HEAD;
    var row_delta = 0.0;
    for (var d = 0u; d < DIM_HEAD; d += 1u) {
        q[d] = qkv[sample + i * 3u * inner + d] * params.scale;
        d_o[d] = d_out[o + d];
        d_q[d] = 0.0;
        row_delta += d_o[d] * out[o + d];
    }
    let row = head_index * params.tokens + i;
    let row_lse = lse[row];
    for (var j = 0u; j < params.tokens; j += 1u) {
        let k = sample + j * 3u * inner + inner;
        let v = k + inner;
        var score = 0.0;
        var d_p = 0.0;
        for (var d = 0u; d < DIM_HEAD; d += 1u) {
            score += q[d] * qkv[k + d];
            d_p += d_o[d] * qkv[v + d];
        }
        let d_score = exp(score - row_lse) * (d_p - row_delta);
        for (var d = 0u; d < DIM_HEAD; d += 1u) { d_q[d] += d_score * qkv[k + d]; }
    }
    for (var d = 0u; d < DIM_HEAD; d += 1u) {
        d_qkv[sample + i * 3u * inner + d] = d_q[d] * params.scale;
    }
    delta[row] = row_delta;
}
