//! enable wgpu_cooperative_matrix
//! needs gpu
//! twin attention
//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include prelude/fragments
//! include attention/heads
//! include attention/cooperative
// Streamed softmax attention as in attention.wgsl, of cooperative matrices. Each subgroup has a fragment's rows of the
// queries, which it keeps, and computes their scores and what their weights make of the values. Between the two, and
// for the sums, an invocation has a share of a query's row: no invocation could rescale a row of a fragment.

/// Fragments of keys in a tile.
#count ACROSS = 4
/// Vectors of a query's output that an invocation has.
#count PIECES = 8

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 write out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // [B, H, L]
// The operand again, which this kernel reads in no other way.
@group(0) @binding(3) var<storage, read> words_of_qkv: array<Word>;

const QUERY_TILE: u32 = SUBGROUPS * EXTENT;
const KEY_TILE: u32 = {ACROSS}u * EXTENT;
const STAGED_LINES: u32 = 2u * KEY_TILE;
const LINES_OF_WEIGHTS: u32 = QUERY_TILE;
const LINES_OF_SUMS: u32 = QUERY_TILE + {SURPLUS}u * EXTENT;
const SPARE_COLUMNS: u32 = 0u;
/// Invocations that share a query's row.
const SHARES: u32 = THREADS / QUERY_TILE;

/// By invocation: the highest of its scores, in the end the sum of its weights.
var<workgroup> partial: array<f32, THREADS>;

/// The vector of a row that is an invocation's `n`th, or the last one for those past the end.
fn piece(share_of_row: u32, n: u32) -> u32 {
    return min(share_of_row + n * SHARES, WIDTH / 4u - 1u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
    let id = group_index(group, groups);
    // A workgroup past the last has no tokens. (It must not return: cooperative operations follow.)
    let tokens = select(0u, params.tokens, id < params.count);
    let head = head_of(min(id, params.count - 1u) / params.tiles);
    let first_query = id % params.tiles * QUERY_TILE;
    let own = subgroup % SUBGROUPS * EXTENT;
    let own_sums = select(own, QUERY_TILE, subgroup >= SUBGROUPS) * LINE_OF_SUMS;
    let row = thread / SHARES;
    let right = thread % SHARES;
    let query = first_query + row;

    stage(head, 0u, first_query, QUERY_TILE, 0u, thread);
    workgroupBarrier();
#each d < DEPTH
    let q{d} = coopLoadT<FragmentA>(&staged[own * LINE + {d}u * EXTENT / CELL], LINE);
#end
    var maximum = -3.0e38;
    var total = 0.0;
#each p < PIECES
    var sum{p} = vec4<f32>();
#end
    for (var first = 0u; first < tokens; first += KEY_TILE) {
        workgroupBarrier();
        stage(head, 1u, first, KEY_TILE, 0u, thread);
        stage(head, 2u, first, KEY_TILE, KEY_TILE, thread);
        workgroupBarrier();
#each k < ACROSS
        var score{k} = FragmentC();
#each d < DEPTH
        let k{k}_{d} = coopLoad<FragmentB>(&staged[{k}u * EXTENT * LINE + {d}u * EXTENT / CELL], LINE);
        score{k} = coopMultiplyAdd(q{d}, k{k}_{d}, score{k});
#end
        coopStoreT(score{k}, &sums[own_sums + {k}u * EXTENT / CELL], LINE_OF_SUMS);
#end
        workgroupBarrier();
        var highest = maximum;
#each i < QUADS
        let quad{i} = right + {i}u * SHARES;
        let exists{i} = four_tokens(first, quad{i}) < vec4<u32>(tokens);
        let scores{i} = select(vec4<f32>(-3.0e38), params.scale * four_sums(row, quad{i}), exists{i});
        let pair{i} = max(scores{i}.xy, scores{i}.zw);
        highest = max(highest, max(pair{i}.x, pair{i}.y));
#end
        partial[thread] = highest;
        workgroupBarrier();
        for (var i = 0u; i < SHARES; i += 1u) { highest = max(highest, partial[row * SHARES + i]); }
        let shrink = exp(maximum - highest);
        maximum = highest;
        total *= shrink;
#each i < QUADS
        var weights{i} = select(vec4<f32>(), exp(scores{i} - highest), exists{i});
        total += (weights{i}.x + weights{i}.y) + (weights{i}.z + weights{i}.w);
#if DROPOUT
        weights{i} *= probability_factors(head, existing(query), existing(first + 4u * quad{i}) / 4u);
#end
        put_weights(row, quad{i}, weights{i});
#end
        workgroupBarrier();
#each d < DEPTH
        var product{d} = FragmentC();
#end
#each k < ACROSS
        let w{k} = coopLoadT<FragmentA>(
            &weights[own * LINE_OF_WEIGHTS + {k}u * EXTENT / CELL], LINE_OF_WEIGHTS);
#each d < DEPTH
        let v{k}_{d} = coopLoadT<FragmentB>(
            &staged[(KEY_TILE + {k}u * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
        product{d} = coopMultiplyAdd(w{k}, v{k}_{d}, product{d});
#end
#end
#each d < DEPTH
        coopStoreT(product{d}, &sums[own_sums + {d}u * EXTENT / CELL], LINE_OF_SUMS);
#end
        workgroupBarrier();
#each p < PIECES
        sum{p} = sum{p} * shrink + four_sums(row, piece(right, {p}u));
#end
    }
    // What was read of it last lies in front of a barrier.
    partial[thread] = total;
    workgroupBarrier();
    total = 0.0;
    for (var i = 0u; i < SHARES; i += 1u) { total += partial[row * SHARES + i]; }
    if (query < tokens) {
        let at = head_index(head, query);
#each p < PIECES
        let v{p} = 4u * (right + {p}u * SHARES);
        if (v{p} < DIM_HEAD) { store_out(at + v{p}, DIM_HEAD - v{p}, sum{p} / total); }
#end
        if (right == 0u) { lse[head.first_row + query] = maximum + log(total); }
    }
}
