//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
// Key and value gradients of attention: dv = Σ p·dO, dk = scale · Σ ds·q over the queries, with p and ds as
// in `attention_backward_q`.

#operand 3 read qkv: act // [B, L, 3, H, d]
@group(0) @binding(4) var<storage, read> row_stats: array<vec2<f32>>; // [B, H, L, 2]: lse, δ
#operand 5 read d_out: act // [B, L, H, d]
#operand 6 write d_qkv: act // [B, L, 3, H, d]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let at = place(id, lane);
    if (at.token >= params.tokens) { return; }

#each o < OWN
    let token_own{o} = existing(at.token + {o}u);
    let own_key{o} = qkv_index(at, token_own{o}, 1u);
    let own_value{o} = qkv_index(at, token_own{o}, 2u);
#each v < VECTORS
    let k{o}_{v} = load_qkv(own_key{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u) * params.scale;
    let v{o}_{v} = load_qkv(own_value{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
    var d_k{o}_{v} = vec4<f32>();
    var d_v{o}_{v} = vec4<f32>();
#end
#end
    for (var first = 0u; first < params.tokens; first += {BLOCK}u) {
#each t < BLOCK
        let token{t} = existing(first + {t}u);
        let query{t} = qkv_index(at, token{t}, 0u);
        let out{t} = head_index(at, token{t});
        let stats{t} = row_stats[at.first_row + token{t}];
#end
#each o < OWN, t < BLOCK
        var score{o}_{t} = vec4<f32>();
        var d_p{o}_{t} = vec4<f32>();
#end
#each v < VECTORS
#each t < BLOCK
        let q{t}_{v} = load_qkv(query{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
        let d_o{t}_{v} = load_d_out(out{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
#end
#each o < OWN, t < BLOCK
        score{o}_{t} += k{o}_{v} * q{t}_{v};
        d_p{o}_{t} += v{o}_{v} * d_o{t}_{v};
#end
#end
#each o < OWN, t < BLOCK
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p{o}_{t} = select(
            0.0, exp(min(sum(score{o}_{t}) - stats{t}.x, 0.0)), first + {t}u < params.tokens);
#if DROPOUT
        let factor{o}_{t} =
            probability_factors(at, token{t}, token_own{o} / 4u)[token_own{o} % 4u];
        let kept{o}_{t} = p{o}_{t} * factor{o}_{t};
        let d_s{o}_{t} = p{o}_{t} * (sum(d_p{o}_{t}) * factor{o}_{t} - stats{t}.y);
#else
        let kept{o}_{t} = p{o}_{t};
        let d_s{o}_{t} = p{o}_{t} * (sum(d_p{o}_{t}) - stats{t}.y);
#end
#end
#each o < OWN, v < VECTORS
        d_v{o}_{v} = d_v{o}_{v}
#each t < BLOCK
            + kept{o}_{t} * d_o{t}_{v}
#end
        ;
        d_k{o}_{v} = d_k{o}_{v}
#each t < BLOCK
            + d_s{o}_{t} * q{t}_{v}
#end
        ;
#end
    }
#each o < OWN
    if (at.token + {o}u < params.tokens) {
#each v < VECTORS
        store_d_qkv(own_key{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u, d_k{o}_{v} * params.scale);
        store_d_qkv(own_value{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u, d_v{o}_{v});
#end
    }
#end
}
