// Key and value gradients of attention, one invocation per key: dv = Σ p·dO, dk = scale · Σ ds·q
// over the queries, with p and ds as in `attention_backward_q`.

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let at = place(id, lane);
    if (at.token >= params.tokens) { return; }

    var k: array<vec4<f32>, 32>;
    var value: array<vec4<f32>, 32>;
    var d_k: array<vec4<f32>, 32>;
    var d_v: array<vec4<f32>, 32>;
    let own_key = qkv_index(at, at.token, 1u);
    let own_value = qkv_index(at, at.token, 2u);
    for (var v = 0u; v < vectors(); v += 1u) {
        k[v] = load_qkv(own_key, v) * params.scale;
        value[v] = load_qkv(own_value, v);
        d_k[v] = vec4<f32>();
        d_v[v] = vec4<f32>();
    }
    let first_row = at.row - at.token;
    for (var first = 0u; first < params.tokens; first += BLOCK) {
        let tokens = block_tokens(first);
        let query_a = qkv_index(at, tokens.x, 0u);
        let query_b = qkv_index(at, tokens.y, 0u);
        let query_c = qkv_index(at, tokens.z, 0u);
        let query_d = qkv_index(at, tokens.w, 0u);
        let o_a = head_index(at, tokens.x);
        let o_b = head_index(at, tokens.y);
        let o_c = head_index(at, tokens.z);
        let o_d = head_index(at, tokens.w);
        var a = vec4<f32>();
        var b = vec4<f32>();
        var c = vec4<f32>();
        var d = vec4<f32>();
        var d_a = vec4<f32>();
        var d_b = vec4<f32>();
        var d_c = vec4<f32>();
        var d_d = vec4<f32>();
        for (var v = 0u; v < vectors(); v += 1u) {
            let key = k[v];
            a += key * load_qkv(query_a, v);
            if (BLOCK > 1u) {
                b += key * load_qkv(query_b, v);
                c += key * load_qkv(query_c, v);
                d += key * load_qkv(query_d, v);
            }
            let own = value[v];
            d_a += own * load_d_out(o_a, v);
            if (BLOCK > 1u) {
                d_b += own * load_d_out(o_b, v);
                d_c += own * load_d_out(o_c, v);
                d_d += own * load_d_out(o_d, v);
            }
        }
        let stats_a = load_row_stats(first_row + tokens.x);
        var stats_b = vec2<f32>();
        var stats_c = vec2<f32>();
        var stats_d = vec2<f32>();
        if (BLOCK > 1u) {
            stats_b = load_row_stats(first_row + tokens.y);
            stats_c = load_row_stats(first_row + tokens.z);
            stats_d = load_row_stats(first_row + tokens.w);
        }
        let lse = vec4<f32>(stats_a.x, stats_b.x, stats_c.x, stats_d.x);
        let delta = vec4<f32>(stats_a.y, stats_b.y, stats_c.y, stats_d.y);
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p = weights_in(first, exp(min(sums(a, b, c, d) - lse, vec4<f32>())));
        let d_scores = p * (sums(d_a, d_b, d_c, d_d) - delta);
        for (var v = 0u; v < vectors(); v += 1u) {
            var value_sum = d_v[v] + p.x * load_d_out(o_a, v);
            var key_sum = d_k[v] + d_scores.x * load_qkv(query_a, v);
            if (BLOCK > 1u) {
                value_sum += p.y * load_d_out(o_b, v) + p.z * load_d_out(o_c, v) + p.w * load_d_out(o_d, v);
                key_sum += d_scores.y * load_qkv(query_b, v)
                    + d_scores.z * load_qkv(query_c, v) + d_scores.w * load_qkv(query_d, v);
            }
            d_v[v] = value_sum;
            d_k[v] = key_sum;
        }
    }
    for (var v = 0u; v < vectors(); v += 1u) {
        store_d_qkv(own_key, v, d_k[v] * params.scale);
        store_d_qkv(own_value, v, d_v[v]);
    }
}
