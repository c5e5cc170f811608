//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
//! include attention/staged
// Streamed softmax attention: o = softmax(q·kᵀ/√d)·v, without an L×L matrix in memory (Dao et al.
// 2022). A workgroup has a tile of a head's queries, and the keys and values pass in tiles. The running maximum and the
// accumulated output of a query are rescaled once per tile. The log-sum-exp is kept for the backward pass. With DROPOUT
// some probabilities are dropped in front of v, after the softmax, whose sum has them all.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 write out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [B, H, L]

var<workgroup> query_tile: array<vec4<f32>, {VECTORS}u * QUERY_STRIDE>;
// The keys [vector, key], then the values [key, vector].
var<workgroup> other_tile: array<vec4<f32>, {VECTORS}u * KEY_STRIDE>;
// Of an invocation's queries for each key.
var<workgroup> weights: array<vec{QUERIES}<f32>, KEY_TILE * SIDE>;
// Of an invocation's queries over its keys: the highest score, in the end the sum of weights.
var<workgroup> partial: array<vec{QUERIES}<f32>, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head = head_of(id / params.tiles);
    let first_query = id % params.tiles * QUERY_TILE;
    let down = lane / SIDE;
    let right = lane % SIDE;

    for (var i = lane; i < {VECTORS}u * QUERY_TILE; i += LANES) {
        let v = i % {VECTORS}u;
        let query = i / {VECTORS}u;
        let at = qkv_index(head, existing(first_query + query), 0u) + 4u * v;
        query_tile[v * QUERY_STRIDE + query] = load_qkv(at, DIM_HEAD - 4u * v) * params.scale;
    }
    var maximum = vec{QUERIES}<f32>(-3.0e38);
    var total = vec{QUERIES}<f32>();
#each q < QUERIES, o < OWN
    var sum{q}_{o} = vec4<f32>();
#end
    for (var first = 0u; first < params.tokens; first += KEY_TILE) {
        workgroupBarrier();
        for (var i = lane; i < {VECTORS}u * KEY_TILE; i += LANES) {
            let v = i % {VECTORS}u;
            let key = i / {VECTORS}u;
            let at = qkv_index(head, existing(first + key), 1u) + 4u * v;
            other_tile[v * KEY_STRIDE + key] = load_qkv(at, DIM_HEAD - 4u * v);
        }
        workgroupBarrier();
#each q < QUERIES, k < KEYS
        var score{q}_{k} = 0.0;
#end
        for (var v = 0u; v < {VECTORS}u; v += 1u) {
#each q < QUERIES
            let q{q} = query_tile[v * QUERY_STRIDE + down + {q}u * SIDE];
#end
#each k < KEYS
            let k{k} = other_tile[v * KEY_STRIDE + right + {k}u * SIDE];
#end
#each q < QUERIES, k < KEYS
            score{q}_{k} = add_dot(q{q}, k{k}, score{q}_{k});
#end
        }
        var highest = maximum;
#each k < KEYS
        let key{k} = first + right + {k}u * SIDE;
        let scores{k} = vec{QUERIES}<f32>(
#each q < QUERIES
            score{q}_{k},
#end
        );
        highest = max(highest, select(highest, scores{k}, key{k} < params.tokens));
#end
        partial[right * SIDE + down] = highest;
        workgroupBarrier();
        for (var i = 0u; i < SIDE; i += 1u) { highest = max(highest, partial[i * SIDE + down]); }
        let shrink = exp(maximum - highest);
        maximum = highest;
        total *= shrink;
#each k < KEYS
        var weights{k} =
            select(vec{QUERIES}<f32>(), exp(scores{k} - highest), key{k} < params.tokens);
        total += weights{k};
#if DROPOUT
#each q < QUERIES
        weights{k}[{q}u] *=
            probability_factor(head, existing(first_query + down + {q}u * SIDE), existing(key{k}));
#end
#end
        weights[(right + {k}u * SIDE) * SIDE + down] = weights{k};
#end
        for (var i = lane; i < {VECTORS}u * KEY_TILE; i += LANES) {
            let v = i % {VECTORS}u;
            let at = qkv_index(head, existing(first + i / {VECTORS}u), 2u) + 4u * v;
            other_tile[i] = load_qkv(at, DIM_HEAD - 4u * v);
        }
        workgroupBarrier();
#each q < QUERIES, o < OWN
        sum{q}_{o} *= shrink[{q}u];
#end
        for (var key = 0u; key < KEY_TILE; key += 1u) {
            let weight = weights[key * SIDE + down];
#each o < OWN
            let value{o} = other_tile[key * {VECTORS}u + vector_at(right, {o}u)];
#end
#each q < QUERIES, o < OWN
            sum{q}_{o} += weight[{q}u] * value{o};
#end
        }
    }
    // What was read of it last lies in front of a barrier.
    partial[right * SIDE + down] = total;
    workgroupBarrier();
    total = vec{QUERIES}<f32>();
    for (var i = 0u; i < SIDE; i += 1u) { total += partial[i * SIDE + down]; }
#each q < QUERIES
    let query{q} = first_query + down + {q}u * SIDE;
    if (query{q} < params.tokens) {
        let at{q} = head_index(head, query{q});
#each o < OWN
        let v{q}_{o} = 4u * (right + {o}u * SIDE);
        if (v{q}_{o} < DIM_HEAD) {
            store_out(at{q} + v{q}_{o}, DIM_HEAD - v{q}_{o}, sum{q}_{o} / total[{q}u]);
        }
#end
        if (right == 0u) { lse[head.first_row + query{q}] = maximum[{q}u] + log(total[{q}u]); }
    }
#end
}
