// Key and value gradients of attention, one invocation per key: dv = Σ p·dO, dk = scale · Σ ds·q
// over the queries, with p and ds as in `attention_backward_q`.

/// `qkv_block` of dO.
fn d_out_block(firsts: vec4<u32>, v: u32) -> mat4x4<f32> {
    let one = load_d_out(firsts.x, v);
    if (BLOCK == 1u) { return mat4x4<f32>(one, vec4<f32>(), vec4<f32>(), vec4<f32>()); }
    return mat4x4<f32>(one, load_d_out(firsts.y, v), load_d_out(firsts.z, v), load_d_out(firsts.w, v));
}

/// lse and δ of a block's rows.
fn row_stats_of(rows: vec4<u32>) -> mat2x4<f32> {
    let one = load_row_stats(rows.x);
    if (BLOCK == 1u) { return mat2x4<f32>(vec4<f32>(one.x), vec4<f32>(one.y)); }
    return transpose(mat4x2<f32>(one, load_row_stats(rows.y), load_row_stats(rows.z), load_row_stats(rows.w)));
}

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
        let queries = qkv_indices(at, tokens, 0u);
        let d_outs = head_indices(at, tokens);
        var scores = mat4x4<f32>();
        var d_ps = mat4x4<f32>();
        for (var v = 0u; v < vectors(); v += 1u) {
            scores = add_products(scores, k[v], qkv_block(queries, v));
            d_ps = add_products(d_ps, value[v], d_out_block(d_outs, v));
        }
        let stats = row_stats_of(first_row + tokens);
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p = weights_in(first, exp(min(totals(scores) - stats[0], vec4<f32>())));
        let d_scores = p * (totals(d_ps) - stats[1]);
        for (var v = 0u; v < vectors(); v += 1u) {
            d_v[v] = add_weighted(d_v[v], p, d_out_block(d_outs, v));
            d_k[v] = add_weighted(d_k[v], d_scores, qkv_block(queries, v));
        }
    }
    for (var v = 0u; v < vectors(); v += 1u) {
        store_d_qkv(own_key, v, d_k[v] * params.scale);
        store_d_qkv(own_value, v, d_v[v]);
    }
}
