//! needs gpu
//! twin attention
//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
//! include attention/direct
// Streamed softmax attention as in attention.wgsl, straight from storage. Rows are queries, columns keys.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 write out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [B, H, L]

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let head = head_of(id / params.tiles);
    let first_query = id % params.tiles * ROW_TILE;
    let right = lane % 4u;
#each q < ROWS
    let query{q} = first_query + lane / 4u + {q}u * QUADS;
    let row{q} = qkv_index(head, existing(query{q}), 0u);
    var maximum{q} = -3.0e38;
    var total{q} = 0.0;
#each o < OWN
    var sum{q}_{o} = vec4<f32>();
#end
#end
    for (var first = 0u; first < params.tokens; first += COL_TILE) {
#each k < COLS
        let key{k} = first + right + {k}u * 4u;
        let col{k} = qkv_index(head, existing(key{k}), 1u);
#end
#each q < ROWS, k < COLS
        var score{q}_{k} = 0.0;
#end
        for (var v = 0u; v < DIM_HEAD; v += 4u) {
#each q < ROWS
            let q{q} = load_qkv(row{q} + v, DIM_HEAD - v);
#end
#each k < COLS
            let k{k} = load_qkv(col{k} + v, DIM_HEAD - v);
#end
#each q < ROWS, k < COLS
            score{q}_{k} = add_dot(q{q}, k{k}, score{q}_{k});
#end
        }
#each q < ROWS
        var highest{q} = maximum{q};
#each k < COLS
        score{q}_{k} = select(-3.0e38, params.scale * score{q}_{k}, key{k} < params.tokens);
        highest{q} = max(highest{q}, score{q}_{k});
#end
        highest{q} = quad_max(highest{q});
        let shrink{q} = exp(maximum{q} - highest{q});
        maximum{q} = highest{q};
        total{q} *= shrink{q};
#each k < COLS
        var weight{q}_{k} = select(0.0, exp(score{q}_{k} - highest{q}), key{k} < params.tokens);
        total{q} += weight{q}_{k};
#if DROPOUT
        weight{q}_{k} *= probability_factors(head, existing(query{q}), existing(key{k}) / 4u)[right];
#end
#end
#each o < OWN
        sum{q}_{o} *= shrink{q};
#end
#end
#each k < COLS, j < 4
        let value_at{k}_{j} = qkv_index(head, existing(first + {k}u * 4u + {j}u), 2u);
#each o < OWN
        let v{k}_{j}_{o} = 4u * vector_at(right, {o}u);
        let value{k}_{j}_{o} = load_qkv(value_at{k}_{j} + v{k}_{j}_{o}, DIM_HEAD - v{k}_{j}_{o});
#end
#each q < ROWS
        let w{q}_{k}_{j} = quadBroadcast(weight{q}_{k}, {j}u);
#each o < OWN
        sum{q}_{o} += w{q}_{k}_{j} * value{k}_{j}_{o};
#end
#end
#end
    }
#each q < ROWS
    let all{q} = quad_sum(total{q});
    if (query{q} < params.tokens) {
        let at = head_index(head, query{q});
#each o < OWN
        let own{o} = 4u * (right + {o}u * 4u);
        if (own{o} < DIM_HEAD) { store_out(at + own{o}, DIM_HEAD - own{o}, sum{q}_{o} / all{q}); }
#end
        if (right == 0u) { lse[head.first_row + query{q}] = maximum{q} + log(all{q}); }
    }
#end
}
