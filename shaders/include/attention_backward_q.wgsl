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
    for (var first = 0u; first < params.tokens; first += BLOCK) {
        let tokens = block_tokens(first);
        let keys = qkv_indices(at, tokens, 1u);
        let values = qkv_indices(at, tokens, 2u);
        var scores = mat4x4<f32>();
        var d_ps = mat4x4<f32>();
        for (var v = 0u; v < vectors(); v += 1u) {
            scores = add_products(scores, q[v], qkv_block(keys, v));
            d_ps = add_products(d_ps, d_o[v], qkv_block(values, v));
        }
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p = exp(min(totals(scores) - row_lse, vec4<f32>()));
        let d_scores = weights_in(first, p * (totals(d_ps) - delta));
        for (var v = 0u; v < vectors(); v += 1u) {
            d_q[v] = add_weighted(d_q[v], d_scores, qkv_block(keys, v));
        }
    }
    for (var v = 0u; v < vectors(); v += 1u) { store_d_qkv(own, v, d_q[v] * params.scale); }
    row_stats[2u * at.row] = row_lse;
    row_stats[2u * at.row + 1u] = delta;
}
