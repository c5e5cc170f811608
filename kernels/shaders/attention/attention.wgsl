//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include attention/heads
// Streamed softmax attention: o = softmax(q·kᵀ/√d)·v, without an L×L matrix in memory (Dao et al.
// 2022). The running maximum and the accumulated output of a query are rescaled once per block of keys. The
// log-sum-exp is kept for the backward pass. With DROPOUT some probabilities are dropped in front of v, after the
// softmax, whose sum has them all.

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 write out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [B, H, L]

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
    var maximum{o} = -3.0e38;
    var total{o} = 0.0;
#each v < VECTORS
    let q{o}_{v} = load_qkv(own{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u) * params.scale;
    var acc{o}_{v} = vec4<f32>();
#end
#end
    for (var first = 0u; first < params.tokens; first += {BLOCK}u) {
#each t < BLOCK
        let token{t} = existing(first + {t}u);
        let key{t} = qkv_index(at, token{t}, 1u);
        let value{t} = qkv_index(at, token{t}, 2u);
#end
#each o < OWN, t < BLOCK
        var product{o}_{t} = vec4<f32>();
#end
#each v < VECTORS
#each t < BLOCK
        let k{t}_{v} = load_qkv(key{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
#end
#each o < OWN, t < BLOCK
        product{o}_{t} += q{o}_{v} * k{t}_{v};
#end
#end
#each o < OWN
        var highest{o} = maximum{o};
#each t < BLOCK
        let score{o}_{t} = sum(product{o}_{t});
        highest{o} = max(highest{o}, score{o}_{t});
#end
        let shrink{o} = exp(maximum{o} - highest{o});
        maximum{o} = highest{o};
        total{o} *= shrink{o};
#each t < BLOCK
        let weight{o}_{t} = select(0.0, exp(score{o}_{t} - highest{o}), first + {t}u < params.tokens);
        total{o} += weight{o}_{t};
#end
#if DROPOUT
        let factors{o} = probability_factors(at, query{o}, first / 4u);
#each t < BLOCK
        let kept{o}_{t} = weight{o}_{t} * factors{o}[{t}u];
#end
#else
#each t < BLOCK
        let kept{o}_{t} = weight{o}_{t};
#end
#end
#end
#each v < VECTORS
#each t < BLOCK
        let v{t}_{v} = load_qkv(value{t} + {v}u * 4u, DIM_HEAD - {v}u * 4u);
#end
#each o < OWN
        acc{o}_{v} = acc{o}_{v} * shrink{o}
#each t < BLOCK
            + kept{o}_{t} * v{t}_{v}
#end
        ;
#end
#end
    }
#each o < OWN
    if (at.token + {o}u < params.tokens) {
        let out{o} = head_index(at, query{o});
#each v < VECTORS
        store_out(out{o} + {v}u * 4u, DIM_HEAD - {v}u * 4u, acc{o}_{v} / total{o});
#end
        lse[at.first_row + query{o}] = maximum{o} + log(total{o});
    }
#end
}
