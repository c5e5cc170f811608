// Streamed softmax attention: o = softmax(q·kᵀ/√d)·v, without an L×L matrix in memory (Dao et al.
// 2022). One invocation owns one query; the running maximum and the accumulated output are rescaled once per
// block of keys. The log-sum-exp is kept for the backward pass.

@group(0) @binding(3) var<storage, read_write> lse: array<f32>; // [B, H, L]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let at = place(id, lane);
    if (at.token >= params.tokens) { return; }

    var q: array<vec4<f32>, 32>;
    var acc: array<vec4<f32>, 32>;
    let own = qkv_index(at, at.token, 0u);
    for (var v = 0u; v < vectors(); v += 1u) {
        q[v] = load_qkv(own, v) * params.scale;
        acc[v] = vec4<f32>();
    }
    var maximum = -3.0e38;
    var total = 0.0;
    for (var first = 0u; first < params.tokens; first += BLOCK) {
        let tokens = block_tokens(first);
        let keys = qkv_indices(at, tokens, 1u);
        var products = mat4x4<f32>();
        for (var v = 0u; v < vectors(); v += 1u) {
            products = add_products(products, q[v], qkv_block(keys, v));
        }
        let scores = totals(products);
        var block_maximum = max(maximum, scores.x);
        if (BLOCK > 1u) {
            block_maximum = max(max(block_maximum, scores.y), max(scores.z, scores.w));
        }
        let shrink = exp(maximum - block_maximum);
        maximum = block_maximum;
        let weights = weights_in(first, exp(scores - maximum));
        total = total * shrink + (weights.x + weights.y) + (weights.z + weights.w);
        let values = qkv_indices(at, tokens, 2u);
        for (var v = 0u; v < vectors(); v += 1u) {
            acc[v] = add_weighted(acc[v] * shrink, weights, qkv_block(values, v));
        }
    }
    let o = head_index(at, at.token);
    for (var v = 0u; v < vectors(); v += 1u) { store_out(o, v, acc[v] / total); }
    lse[at.row] = maximum + log(total);
}
