//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
//! include attention/staged
// Gradients of attention in one pass: with p = exp(s − lse), δ = Σ dO·O and ds = p·(dO·v − δ), dv = Σ p·dO,
// dk = scale · Σ ds·q and dq = scale · Σ ds·k. A workgroup has a head: for each tile of its keys, whose gradients stay
// in registers, the queries pass in tiles, and what they gain is added up in memory, always by the same invocation.
// With DROPOUT dO·v and the p of dv have the factor of their probability; δ is what it is, because O has the factors.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 read out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read> lse: array<f32>; // [B, H, L]
#operand 6 read d_out: act // [B, L, H, d]
#operand 7 write d_qkv: act // [B, L, 3, H, d]
@group(0) @binding(8) var<storage, read_write> rows: array<vec4<f32>>; // [B, H, L, vectors + 1]: Σ ds·k, then δ

var<workgroup> key_tile: array<vec4<f32>, {VECTORS}u * KEY_STRIDE>; // [vector, key]
var<workgroup> value_tile: array<vec4<f32>, {VECTORS}u * KEY_STRIDE>;
// The queries, then dO.
var<workgroup> query_tile: array<vec4<f32>, {VECTORS}u * QUERY_STRIDE>;
var<workgroup> p_tile: array<f32, QUERY_TILE * KEY_STRIDE>;
var<workgroup> d_s_tile: array<f32, QUERY_TILE * KEY_STRIDE>;

/// Where a query has its row in `rows`.
fn row_index(head: Head, query: u32) -> u32 {
    return (head.first_row + query) * ({VECTORS}u + 1u);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head = head_of(id);
    let down = lane / SIDE;
    let right = lane % SIDE;

    for (var query = lane; query < params.tokens; query += LANES) {
        let at = head_index(head, query);
        var products = vec4<f32>();
        for (var v = 0u; v < DIM_HEAD; v += 4u) {
            products += load_d_out(at + v, DIM_HEAD - v) * load_out(at + v, DIM_HEAD - v);
        }
        let delta = (products.x + products.y) + (products.z + products.w);
        rows[row_index(head, query) + {VECTORS}u] = vec4<f32>(delta, 0.0, 0.0, 0.0);
    }
    storageBarrier();
    for (var first_key = 0u; first_key < params.tokens; first_key += KEY_TILE) {
        workgroupBarrier();
        for (var i = lane; i < {VECTORS}u * KEY_TILE; i += LANES) {
            let v = i % {VECTORS}u;
            let key = i / {VECTORS}u;
            let token = existing(first_key + key);
            key_tile[v * KEY_STRIDE + key] =
                load_qkv(qkv_index(head, token, 1u) + 4u * v, DIM_HEAD - 4u * v);
            value_tile[v * KEY_STRIDE + key] =
                load_qkv(qkv_index(head, token, 2u) + 4u * v, DIM_HEAD - 4u * v);
        }
#each k < KEYS, o < OWN
        var d_k{k}_{o} = vec4<f32>();
        var d_v{k}_{o} = vec4<f32>();
#end
        for (var first_query = 0u; first_query < params.tokens; first_query += QUERY_TILE) {
            workgroupBarrier();
            for (var i = lane; i < {VECTORS}u * QUERY_TILE; i += LANES) {
                let v = i % {VECTORS}u;
                let query = i / {VECTORS}u;
                let at = qkv_index(head, existing(first_query + query), 0u) + 4u * v;
                query_tile[v * QUERY_STRIDE + query] = load_qkv(at, DIM_HEAD - 4u * v) * params.scale;
            }
            workgroupBarrier();
#each q < QUERIES, k < KEYS
            var score{q}_{k} = 0.0;
            var d_p{q}_{k} = 0.0;
#end
            for (var v = 0u; v < {VECTORS}u; v += 1u) {
#each q < QUERIES
                let q{q} = query_tile[v * QUERY_STRIDE + down + {q}u * SIDE];
#end
#each k < KEYS
                let k{k} = key_tile[v * KEY_STRIDE + right + {k}u * SIDE];
#end
#each q < QUERIES, k < KEYS
                score{q}_{k} = add_dot(q{q}, k{k}, score{q}_{k});
#end
            }
            workgroupBarrier();
            for (var i = lane; i < {VECTORS}u * QUERY_TILE; i += LANES) {
                let v = i % {VECTORS}u;
                let query = i / {VECTORS}u;
                let at = head_index(head, existing(first_query + query)) + 4u * v;
                query_tile[v * QUERY_STRIDE + query] = load_d_out(at, DIM_HEAD - 4u * v);
            }
            workgroupBarrier();
            for (var v = 0u; v < {VECTORS}u; v += 1u) {
#each q < QUERIES
                let q{q} = query_tile[v * QUERY_STRIDE + down + {q}u * SIDE];
#end
#each k < KEYS
                let v{k} = value_tile[v * KEY_STRIDE + right + {k}u * SIDE];
#end
#each q < QUERIES, k < KEYS
                d_p{q}_{k} = add_dot(q{q}, v{k}, d_p{q}_{k});
#end
            }
#each q < QUERIES
            let query{q} = first_query + down + {q}u * SIDE;
            let row{q} = row_index(head, existing(query{q}));
            let lse{q} = lse[head.first_row + existing(query{q})];
            let delta{q} = rows[row{q} + {VECTORS}u].x;
#end
#each q < QUERIES, k < KEYS
            let key{q}_{k} = first_key + right + {k}u * SIDE;
            // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
            let p{q}_{k} = select(0.0, exp(min(score{q}_{k} - lse{q}, 0.0)),
                query{q} < params.tokens && key{q}_{k} < params.tokens);
#if DROPOUT
            let factor{q}_{k} = probability_factor(head, existing(query{q}), existing(key{q}_{k}));
#else
            let factor{q}_{k} = 1.0;
#end
            let at{q}_{k} = (down + {q}u * SIDE) * KEY_STRIDE + right + {k}u * SIDE;
            p_tile[at{q}_{k}] = p{q}_{k} * factor{q}_{k};
            d_s_tile[at{q}_{k}] = p{q}_{k} * (d_p{q}_{k} * factor{q}_{k} - delta{q});
#end
            workgroupBarrier();
            for (var query = 0u; query < QUERY_TILE; query += 1u) {
                let at = qkv_index(head, existing(first_query + query), 0u);
#each k < KEYS
                let p{k} = p_tile[query * KEY_STRIDE + down + {k}u * SIDE];
                let d_s{k} = d_s_tile[query * KEY_STRIDE + down + {k}u * SIDE];
#end
#each o < OWN
                let vector{o} = vector_at(right, {o}u);
                let d_o{o} = query_tile[vector{o} * QUERY_STRIDE + query];
                let q{o} = load_qkv(at + 4u * vector{o}, DIM_HEAD - 4u * vector{o});
#end
#each k < KEYS, o < OWN
                d_v{k}_{o} += p{k} * d_o{o};
                d_k{k}_{o} += d_s{k} * q{o};
#end
            }
#each q < QUERIES, o < OWN
            var d_q{q}_{o} = vec4<f32>();
#end
            for (var key = 0u; key < KEY_TILE; key += 1u) {
#each o < OWN
                let k{o} = key_tile[vector_at(right, {o}u) * KEY_STRIDE + key];
#end
#each q < QUERIES
                let d_s{q} = d_s_tile[(down + {q}u * SIDE) * KEY_STRIDE + key];
#end
#each q < QUERIES, o < OWN
                d_q{q}_{o} += d_s{q} * k{o};
#end
            }
#each q < QUERIES, o < OWN
            let own{q}_{o} = right + {o}u * SIDE;
            if (query{q} < params.tokens && own{q}_{o} < {VECTORS}u) {
                if (first_key > 0u) { d_q{q}_{o} += rows[row{q} + own{q}_{o}]; }
                rows[row{q} + own{q}_{o}] = d_q{q}_{o};
                if (first_key + KEY_TILE >= params.tokens) {
                    let at = qkv_index(head, query{q}, 0u) + 4u * own{q}_{o};
                    store_d_qkv(at, DIM_HEAD - 4u * own{q}_{o}, d_q{q}_{o} * params.scale);
                }
            }
#end
        }
#each k < KEYS, o < OWN
        let key{k}_{o} = first_key + down + {k}u * SIDE;
        let own{k}_{o} = 4u * (right + {o}u * SIDE);
        if (key{k}_{o} < params.tokens && own{k}_{o} < DIM_HEAD) {
            let at = qkv_index(head, key{k}_{o}, 1u) + own{k}_{o};
            store_d_qkv(at, DIM_HEAD - own{k}_{o}, d_k{k}_{o} * params.scale);
            store_d_qkv(at + params.heads * DIM_HEAD, DIM_HEAD - own{k}_{o}, d_v{k}_{o});
        }
#end
    }
}
