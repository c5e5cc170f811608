//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
// Query gradient of attention: with p = exp(s − lse), δ = Σ dO·O and ds = p·(dO·v − δ), dq = scale · Σ ds·k.
// lse and δ are kept together for the keys' gradient. With DROPOUT dO·v has the factor of its probability; δ is what
// it is, because O has the factors.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 read out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read> lse: array<f32>; // [B, H, L]
#operand 6 read d_out: act // [B, L, H, d]
#operand 7 write d_qkv: act // [B, L, 3, H, d]
@group(0) @binding(8) var<storage, read_write> row_stats: array<f32>; // [B, H, L, 2]: lse, δ

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let id = group_index(group, groups);
    if (id >= params.count) { return; }
    let at = place(id, lane);
    if (at.token >= params.tokens) { return; }

#each o < OWN
    let query{o} = existing(at.token + {o}u);
    let own{o} = qkv_index(at, query{o}, 0u);
    let out{o} = head_index(at, query{o});
    var deltas{o} = vec4<f32>();
#each v < VECTORS
    let q{o}_{v} = load_qkv(own{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u) * params.scale;
    let d_o{o}_{v} = load_d_out(out{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
    deltas{o} += d_o{o}_{v} * load_out(out{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
    var d_q{o}_{v} = vec4<f32>();
#end
    let delta{o} = sum(deltas{o});
    let lse{o} = lse[at.first_row + query{o}];
#end
    for (var first = 0u; first < params.tokens; first += {BLOCK}u) {
#each t < BLOCK
        let token{t} = existing(first + {t}u);
        let key{t} = qkv_index(at, token{t}, 1u);
        let value{t} = qkv_index(at, token{t}, 2u);
#end
#each o < OWN, t < BLOCK
        var score{o}_{t} = vec4<f32>();
        var d_p{o}_{t} = vec4<f32>();
#end
#each v < VECTORS
#each t < BLOCK
        let k{t}_{v} = load_qkv(key{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
        let v{t}_{v} = load_qkv(value{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
#end
#each o < OWN, t < BLOCK
        score{o}_{t} += q{o}_{v} * k{t}_{v};
        d_p{o}_{t} += d_o{o}_{v} * v{t}_{v};
#end
#end
#each o < OWN
#if DROPOUT
        let factors{o} = probability_factors(at, query{o}, first / 4u);
#each t < BLOCK
        let d_kept{o}_{t} = sum(d_p{o}_{t}) * factors{o}[{t}u];
#end
#else
#each t < BLOCK
        let d_kept{o}_{t} = sum(d_p{o}_{t});
#end
#end
#end
#each o < OWN, t < BLOCK
        // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
        let p{o}_{t} = exp(min(sum(score{o}_{t}) - lse{o}, 0.0));
        let d_s{o}_{t} = select(0.0, p{o}_{t} * (d_kept{o}_{t} - delta{o}), first + {t}u < params.tokens);
#end
#each o < OWN, v < VECTORS
        d_q{o}_{v} = d_q{o}_{v}
#each t < BLOCK
            + d_s{o}_{t} * k{t}_{v}
#end
        ;
#end
    }
#each o < OWN
    if (at.token + {o}u < params.tokens) {
#each v < VECTORS
        store_d_qkv(own{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u, d_q{o}_{v} * params.scale);
#end
        row_stats[2u * (at.first_row + query{o})] = lse{o};
        row_stats[2u * (at.first_row + query{o}) + 1u] = delta{o};
    }
#end
}
