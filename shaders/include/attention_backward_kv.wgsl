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
    for (var v = 0u; v < VECTORS; v += 1u) {
        k[v] = load_qkv(own_key, v) * params.scale;
        value[v] = load_qkv(own_value, v);
        d_k[v] = vec4<f32>();
        d_v[v] = vec4<f32>();
    }
    let first_row = at.row - at.token;
    for (var i = 0u; i < params.tokens; i += 1u) {
        let query = qkv_index(at, i, 0u);
        let o = head_index(at, i);
        var scores = vec4<f32>();
        var d_ps = vec4<f32>();
        for (var v = 0u; v < VECTORS; v += 1u) {
            scores += k[v] * load_qkv(query, v);
            d_ps += value[v] * load_d_out(o, v);
        }
        let stats = load_row_stats(first_row + i);
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p = exp(min(scores.x + scores.y + scores.z + scores.w - stats.x, 0.0));
        let d_score = p * (d_ps.x + d_ps.y + d_ps.z + d_ps.w - stats.y);
        for (var v = 0u; v < VECTORS; v += 1u) {
            d_v[v] += p * load_d_out(o, v);
            d_k[v] += d_score * load_qkv(query, v);
        }
    }
    for (var v = 0u; v < VECTORS; v += 1u) {
        store_d_qkv(own_key, v, d_k[v] * params.scale);
        store_d_qkv(own_value, v, d_v[v]);
    }
}
