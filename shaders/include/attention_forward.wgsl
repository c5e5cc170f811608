// Streamed softmax attention: o = softmax(q·kᵀ/√d)·v, without an L×L matrix in memory (Dao et al.
// 2022). One invocation owns one query; keys pass in blocks, so that the running maximum and the
// accumulated output are rescaled once per block. The log-sum-exp is kept for the backward pass.

@group(0) @binding(3) var<storage, read_write> lse: array<f32>; // [B, H, L]

/// Keys per block, at most 8. Drivers that unroll loops compile long blocks slowly.
override KEYS: u32 = 8u;

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
    for (var v = 0u; v < VECTORS; v += 1u) {
        q[v] = load_qkv(own, v) * params.scale;
        acc[v] = vec4<f32>();
    }
    var maximum = -3.0e38;
    var total = 0.0;
    for (var first = 0u; first < params.tokens; first += KEYS) {
        var scores: array<f32, 8>;
        var block_maximum = maximum;
        for (var j = 0u; j < KEYS; j += 1u) {
            // Keys past the end repeat the last one and get no weight.
            let key = qkv_index(at, min(first + j, params.tokens - 1u), 1u);
            var products = vec4<f32>();
            for (var v = 0u; v < VECTORS; v += 1u) { products += q[v] * load_qkv(key, v); }
            scores[j] = products.x + products.y + products.z + products.w;
            block_maximum = max(block_maximum, scores[j]);
        }
        let shrink = exp(maximum - block_maximum);
        maximum = block_maximum;
        total *= shrink;
        for (var v = 0u; v < VECTORS; v += 1u) { acc[v] *= shrink; }
        for (var j = 0u; j < KEYS; j += 1u) {
            let value = qkv_index(at, min(first + j, params.tokens - 1u), 2u);
            let weight = select(0.0, exp(scores[j] - maximum), first + j < params.tokens);
            total += weight;
            for (var v = 0u; v < VECTORS; v += 1u) { acc[v] += weight * load_qkv(value, v); }
        }
    }
    let o = head_index(at, at.token);
    for (var v = 0u; v < VECTORS; v += 1u) { store_out(o, v, acc[v] / total); }
    lse[at.row] = maximum + log(total);
}
