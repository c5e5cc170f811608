//! needs gpu
//! twin attention_backward
//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
//! include attention/direct
// Gradients of attention as in attention_backward.wgsl, straight from storage. A workgroup has a head. First its rows are
// queries, and columns keys: of that come δ and the gradient of the queries. Then its rows are keys, and columns queries:
// the scores are computed again.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 read out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read> lse: array<f32>; // [B, H, L]
#operand 6 read d_out: act // [B, L, H, d]
#operand 7 write d_qkv: act // [B, L, 3, H, d]
@group(0) @binding(8) var<storage, read_write> rows: array<vec4<f32>>; // [B, H, L, vectors + 1]: Σ ds·k, then δ

/// Where a query has its row in `rows`.
fn row_index(head: Head, query: u32) -> u32 {
    return (head.first_row + query) * ({VECTORS}u + 1u);
}

/// p of a score of two tokens, at most 1: where scores are huge, rounding must not make it e^(rounding).
fn probability(score: f32, own_lse: f32, query: u32, key: u32) -> f32 {
    return select(0.0, exp(min(params.scale * score - own_lse, 0.0)),
        query < params.tokens && key < params.tokens);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head = head_of(id);
    let right = lane % 4u;

    for (var first_query = 0u; first_query < params.tokens; first_query += ROW_TILE) {
#each q < ROWS
        let query{q} = first_query + lane / 4u + {q}u * QUADS;
        let row{q} = qkv_index(head, existing(query{q}), 0u);
        let row_of_out{q} = head_index(head, existing(query{q}));
        let lse{q} = lse[head.first_row + existing(query{q})];
        var products{q} = vec4<f32>();
#each o < OWN
        let v{q}_{o} = 4u * vector_at(right, {o}u);
        let product{q}_{o} = load_d_out(row_of_out{q} + v{q}_{o}, DIM_HEAD - v{q}_{o})
            * load_out(row_of_out{q} + v{q}_{o}, DIM_HEAD - v{q}_{o});
        products{q} += select(vec4<f32>(), product{q}_{o}, right + {o}u * 4u < {VECTORS}u);
        var d_q{q}_{o} = vec4<f32>();
#end
        let delta{q} = quad_sum((products{q}.x + products{q}.y) + (products{q}.z + products{q}.w));
#end
        for (var first_key = 0u; first_key < params.tokens; first_key += COL_TILE) {
#each k < COLS
            let key{k} = first_key + right + {k}u * 4u;
            let col{k} = qkv_index(head, existing(key{k}), 1u);
            let col_of_values{k} = qkv_index(head, existing(key{k}), 2u);
#end
#each q < ROWS, k < COLS
            var score{q}_{k} = 0.0;
            var d_p{q}_{k} = 0.0;
#end
            for (var v = 0u; v < DIM_HEAD; v += 4u) {
#each k < COLS
                let k{k} = load_qkv(col{k} + v, DIM_HEAD - v);
                let v{k} = load_qkv(col_of_values{k} + v, DIM_HEAD - v);
#end
#each q < ROWS
                let q{q} = load_qkv(row{q} + v, DIM_HEAD - v);
                let d_o{q} = load_d_out(row_of_out{q} + v, DIM_HEAD - v);
#each k < COLS
                score{q}_{k} = add_dot(q{q}, k{k}, score{q}_{k});
                d_p{q}_{k} = add_dot(d_o{q}, v{k}, d_p{q}_{k});
#end
#end
            }
#each q < ROWS, k < COLS
            let p{q}_{k} = probability(score{q}_{k}, lse{q}, query{q}, key{k});
#if DROPOUT
            d_p{q}_{k} *= probability_factors(head, existing(query{q}), existing(key{k}) / 4u)[right];
#end
            let d_s{q}_{k} = p{q}_{k} * (d_p{q}_{k} - delta{q});
#end
#each k < COLS, j < 4
            let key_at{k}_{j} = qkv_index(head, existing(first_key + {k}u * 4u + {j}u), 1u);
#each o < OWN
            let u{k}_{j}_{o} = 4u * vector_at(right, {o}u);
            let key{k}_{j}_{o} = load_qkv(key_at{k}_{j} + u{k}_{j}_{o}, DIM_HEAD - u{k}_{j}_{o});
#end
#each q < ROWS
            let d_s{q}_{k}_{j} = quadBroadcast(d_s{q}_{k}, {j}u);
#each o < OWN
            d_q{q}_{o} += d_s{q}_{k}_{j} * key{k}_{j}_{o};
#end
#end
#end
        }
#each q < ROWS
        if (query{q} < params.tokens) {
            let kept = row_index(head, query{q});
            if (right == 0u) { rows[kept + {VECTORS}u] = vec4<f32>(delta{q}, 0.0, 0.0, 0.0); }
#each o < OWN
            let own{o} = right + {o}u * 4u;
            if (own{o} < {VECTORS}u) {
                rows[kept + own{o}] = d_q{q}_{o};
                store_d_qkv(row{q} + 4u * own{o}, DIM_HEAD - 4u * own{o}, d_q{q}_{o} * params.scale);
            }
#end
        }
#end
    }
    storageBarrier();
    for (var first_key = 0u; first_key < params.tokens; first_key += ROW_TILE) {
#each k < ROWS
        let key{k} = first_key + lane / 4u + {k}u * QUADS;
        let row{k} = qkv_index(head, existing(key{k}), 1u);
        let row_of_values{k} = qkv_index(head, existing(key{k}), 2u);
#each o < OWN
        var d_k{k}_{o} = vec4<f32>();
        var d_v{k}_{o} = vec4<f32>();
#end
#end
        for (var first_query = 0u; first_query < params.tokens; first_query += COL_TILE) {
#each q < COLS
            let query{q} = first_query + right + {q}u * 4u;
            let col{q} = qkv_index(head, existing(query{q}), 0u);
            let col_of_out{q} = head_index(head, existing(query{q}));
            let lse{q} = lse[head.first_row + existing(query{q})];
            let delta{q} = rows[row_index(head, existing(query{q})) + {VECTORS}u].x;
#end
#each k < ROWS, q < COLS
            var score{k}_{q} = 0.0;
            var d_p{k}_{q} = 0.0;
#end
            for (var v = 0u; v < DIM_HEAD; v += 4u) {
#each q < COLS
                let q{q} = load_qkv(col{q} + v, DIM_HEAD - v);
                let d_o{q} = load_d_out(col_of_out{q} + v, DIM_HEAD - v);
#end
#each k < ROWS
                let k{k} = load_qkv(row{k} + v, DIM_HEAD - v);
                let v{k} = load_qkv(row_of_values{k} + v, DIM_HEAD - v);
#each q < COLS
                score{k}_{q} = add_dot(q{q}, k{k}, score{k}_{q});
                d_p{k}_{q} = add_dot(d_o{q}, v{k}, d_p{k}_{q});
#end
#end
            }
#each k < ROWS, q < COLS
            let p{k}_{q} = probability(score{k}_{q}, lse{q}, query{q}, key{k});
#if DROPOUT
            let factor{k}_{q} =
                probability_factors(head, existing(query{q}), existing(key{k}) / 4u)[existing(key{k}) % 4u];
#else
            let factor{k}_{q} = 1.0;
#end
            let w{k}_{q} = p{k}_{q} * factor{k}_{q};
            let d_s{k}_{q} = p{k}_{q} * (d_p{k}_{q} * factor{k}_{q} - delta{q});
#end
#each q < COLS, j < 4
            let query_at{q}_{j} = qkv_index(head, existing(first_query + {q}u * 4u + {j}u), 0u);
            let out_at{q}_{j} = head_index(head, existing(first_query + {q}u * 4u + {j}u));
#each o < OWN
            let u{q}_{j}_{o} = 4u * vector_at(right, {o}u);
            let q{q}_{j}_{o} = load_qkv(query_at{q}_{j} + u{q}_{j}_{o}, DIM_HEAD - u{q}_{j}_{o});
            let d_o{q}_{j}_{o} = load_d_out(out_at{q}_{j} + u{q}_{j}_{o}, DIM_HEAD - u{q}_{j}_{o});
#end
#each k < ROWS
            let w{k}_{q}_{j} = quadBroadcast(w{k}_{q}, {j}u);
            let d_s{k}_{q}_{j} = quadBroadcast(d_s{k}_{q}, {j}u);
#each o < OWN
            d_v{k}_{o} += w{k}_{q}_{j} * d_o{q}_{j}_{o};
            d_k{k}_{o} += d_s{k}_{q}_{j} * q{q}_{j}_{o};
#end
#end
#end
        }
#each k < ROWS
        if (key{k} < params.tokens) {
#each o < OWN
            let own{o} = 4u * (right + {o}u * 4u);
            if (own{o} < DIM_HEAD) {
                store_d_qkv(row{k} + own{o}, DIM_HEAD - own{o}, d_k{k}_{o} * params.scale);
                store_d_qkv(row_of_values{k} + own{o}, DIM_HEAD - own{o}, d_v{k}_{o});
            }
#end
        }
#end
    }
}
