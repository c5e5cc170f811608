// Query gradient of attention, one invocation per query: with p = exp(s − lse), δ = Σ dO·O and
// ds = p·(dO·v − δ), dq = scale · Σ ds·k. lse and δ are kept together for the keys' gradient.

@group(0) @binding(3) var<storage, read> lse: array<f32>; // [B, H, L]
@group(0) @binding(6) var<storage, read_write> row_stats: array<f32>; // [B, H, L, 2]: lse, δ

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let at = place(id, lane);
    if (at.token >= params.tokens) { return; }

    var q: array<vec4<f32>, 32>;
    var d_o: array<vec4<f32>, 32>;
    var d_q: array<vec4<f32>, 32>;
    let own = qkv_index(at, at.token, 0u);
    let o = head_index(at, at.token);
    var deltas = vec4<f32>();
    for (var v = 0u; v < vectors(); v += 1u) {
        q[v] = load_qkv(own, v) * params.scale;
        let gradient = load_d_out(o, v);
        d_o[v] = gradient;
        d_q[v] = vec4<f32>();
        deltas += gradient * load_out(o, v);
    }
    let delta = deltas.x + deltas.y + deltas.z + deltas.w;
    let row_lse = lse[at.row];
    let to_value = params.heads * DIM_HEAD;
    for (var first = 0u; first < params.tokens; first += BLOCK) {
        let tokens = block_tokens(first);
        let key_a = qkv_index(at, tokens.x, 1u);
        let key_b = qkv_index(at, tokens.y, 1u);
        let key_c = qkv_index(at, tokens.z, 1u);
        let key_d = qkv_index(at, tokens.w, 1u);
        var a = vec4<f32>();
        var b = vec4<f32>();
        var c = vec4<f32>();
        var d = vec4<f32>();
        var d_a = vec4<f32>();
        var d_b = vec4<f32>();
        var d_c = vec4<f32>();
        var d_d = vec4<f32>();
        for (var v = 0u; v < vectors(); v += 1u) {
            let query = q[v];
            a += query * load_qkv(key_a, v);
            if (BLOCK > 1u) {
                b += query * load_qkv(key_b, v);
                c += query * load_qkv(key_c, v);
                d += query * load_qkv(key_d, v);
            }
            let gradient = d_o[v];
            d_a += gradient * load_qkv(key_a + to_value, v);
            if (BLOCK > 1u) {
                d_b += gradient * load_qkv(key_b + to_value, v);
                d_c += gradient * load_qkv(key_c + to_value, v);
                d_d += gradient * load_qkv(key_d + to_value, v);
            }
        }
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p = exp(min(sums(a, b, c, d) - row_lse, vec4<f32>()));
        let d_scores = weights_in(first, p * (sums(d_a, d_b, d_c, d_d) - delta));
        for (var v = 0u; v < vectors(); v += 1u) {
            var sum = d_q[v] + d_scores.x * load_qkv(key_a, v);
            if (BLOCK > 1u) {
                sum += d_scores.y * load_qkv(key_b, v)
                    + d_scores.z * load_qkv(key_c, v) + d_scores.w * load_qkv(key_d, v);
            }
            d_q[v] = sum;
        }
    }
    for (var v = 0u; v < vectors(); v += 1u) { store_d_qkv(own, v, d_q[v] * params.scale); }
    row_stats[2u * at.row] = row_lse;
    row_stats[2u * at.row + 1u] = delta;
}
