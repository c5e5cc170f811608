//! enable wgpu_cooperative_matrix
//! needs gpu
//! twin attention_backward
//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
//! include prelude/fragments
//! include attention/heads
//! include attention/cooperative
// Gradients of attention as in attention_backward.wgsl, of cooperative matrices. A subgroup has a fragment's columns of
// a tile's keys: their scores, and the gradients of these keys and values, which it keeps with the values while the
// queries pass. (Registers have no room for the keys, too.) The gradient of the queries is shared out by fragments.

/// Fragments of queries in a tile, 2 or 4.
#count ROWS = 2
/// Fragments of the queries' gradient of a subgroup.
#count OWN = 2
/// 1 if some of these are none, or there are more subgroups than four: then these compute one again, into a place of
/// its own.
#count SPARE = 0

#operand 3 read qkv: act // [B, L, 3, H, d]
#operand 4 read out: act // [B, L, H, d]
@group(0) @binding(5) var<storage, read> lse: array<f32>; // [B, H, L]
#operand 6 read d_out: act // [B, L, H, d]
#operand 7 write d_qkv: act // [B, L, 3, H, d]
@group(0) @binding(8) var<storage, read_write> rows: array<vec4<f32>>; // [B, H, L, vectors + 1]: Σ ds·k, then δ
// The operands again, which this kernel reads in no other way.
@group(0) @binding(3) var<storage, read> words_of_qkv: array<Word>;
@group(0) @binding(4) var<storage, read> words_of_out: array<Word>;
@group(0) @binding(6) var<storage, read> words_of_d_out: array<Word>;

const QUERY_TILE: u32 = {ROWS}u * EXTENT;
const KEY_TILE: u32 = SUBGROUPS * EXTENT;
/// The keys, then the queries, then dO; at first the values in place of the latter two.
const QUERY_LINES: u32 = KEY_TILE;
const D_OUT_LINES: u32 = KEY_TILE + QUERY_TILE;
const STAGED_LINES: u32 = KEY_TILE + max(2u * QUERY_TILE, KEY_TILE);
/// The weights, then the gradients of the scores.
const D_SCORE_LINES: u32 = QUERY_TILE;
const LINES_OF_WEIGHTS: u32 = 2u * QUERY_TILE;
const LINES_OF_SUMS: u32 = QUERY_TILE;
const SPARE_COLUMNS: u32 = {SPARE}u * EXTENT;
/// Where what is nobody's goes.
const SPARE_COLUMN: u32 = max(KEY_TILE, WIDTH) / CELL;

/// Where a query has its row in `rows`.
fn row_index(head: Head, query: u32) -> u32 {
    return (head.first_row + query) * ({VECTORS}u + 1u);
}

/// Puts dO of a tile's queries into workgroup memory, like `stage`.
fn stage_d_out(head: Head, first: u32, thread: u32) {
    for (var i = thread; i < QUERY_TILE * (WIDTH / WORD); i += THREADS) {
        let row = i / (WIDTH / WORD);
        let word = i % (WIDTH / WORD);
        var value = Word();
        if (word < DIM_HEAD / WORD) {
            value = words_of_d_out[head_index(head, existing(first + row)) / WORD + word];
        }
        share(D_OUT_LINES + row, word, value);
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32, @builtin(subgroup_id) subgroup: u32) {
    let id = group_index(group, groups);
    // A workgroup past the last has no tokens. (It must not return: cooperative operations follow.)
    let tokens = select(0u, params.tokens, id < params.count);
    let head = head_of(min(id, params.count - 1u));
    let is_surplus = subgroup >= SUBGROUPS;
    let own = subgroup % SUBGROUPS;
    let own_column = select(own * EXTENT / CELL, SPARE_COLUMN, is_surplus);

    for (var query = thread; query < tokens; query += THREADS) {
        let at = head_index(head, query) / WORD;
        var products = vec4<f32>();
        for (var word = 0u; word < DIM_HEAD / WORD; word += 1u) {
            let d_o = words_of_d_out[at + word];
            let o = words_of_out[at + word];
#each p < PARTS
            products += vec4<f32>(d_o[{p}]) * vec4<f32>(o[{p}]);
#end
        }
        let delta = (products.x + products.y) + (products.z + products.w);
        rows[row_index(head, query) + {VECTORS}u] = vec4<f32>(delta, 0.0, 0.0, 0.0);
    }
    storageBarrier();
    for (var first_key = 0u; first_key < tokens; first_key += KEY_TILE) {
        workgroupBarrier();
        stage(head, 1u, first_key, KEY_TILE, 0u, thread);
        stage(head, 2u, first_key, KEY_TILE, QUERY_LINES, thread);
        workgroupBarrier();
#each d < DEPTH
        let v{d} = coopLoad<FragmentB>(
            &staged[(QUERY_LINES + own * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
        var d_k{d} = FragmentC();
        var d_v{d} = FragmentC();
#end
        for (var first_query = 0u; first_query < tokens; first_query += QUERY_TILE) {
            workgroupBarrier();
            stage(head, 0u, first_query, QUERY_TILE, QUERY_LINES, thread);
            stage_d_out(head, first_query, thread);
            workgroupBarrier();
#each r < ROWS
            var score{r} = FragmentC();
#end
#each d < DEPTH
            let k{d} = coopLoad<FragmentB>(&staged[own * EXTENT * LINE + {d}u * EXTENT / CELL], LINE);
#each r < ROWS
            let q{r}_{d} = coopLoadT<FragmentA>(
                &staged[(QUERY_LINES + {r}u * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
            score{r} = coopMultiplyAdd(q{r}_{d}, k{d}, score{r});
#end
#end
#each r < ROWS
            coopStoreT(score{r}, &sums[{r}u * EXTENT * LINE_OF_SUMS + own_column], LINE_OF_SUMS);
#end
            workgroupBarrier();
#each i < QUADS
            let row{i} = (thread + {i}u * THREADS) / EXTENT;
            let quad{i} = (thread + {i}u * THREADS) % EXTENT;
            let query{i} = first_query + row{i};
            // p ≤ 1: where scores are huge, rounding must not make it e^(rounding).
            let log{i} = params.scale * four_sums(row{i}, quad{i}) - lse[head.first_row + existing(query{i})];
            let end{i} = select(0u, tokens, query{i} < tokens);
            let is_pair{i} = four_tokens(first_key, quad{i}) < vec4<u32>(end{i});
            let p{i} = select(vec4<f32>(), exp(min(log{i}, vec4<f32>())), is_pair{i});
#end
            workgroupBarrier();
#each r < ROWS
            var d_p{r} = FragmentC();
#each d < DEPTH
            let d_o{r}_{d} = coopLoadT<FragmentA>(
                &staged[(D_OUT_LINES + {r}u * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
            d_p{r} = coopMultiplyAdd(d_o{r}_{d}, v{d}, d_p{r});
#end
            coopStoreT(d_p{r}, &sums[{r}u * EXTENT * LINE_OF_SUMS + own_column], LINE_OF_SUMS);
#end
            workgroupBarrier();
#each i < QUADS
#if DROPOUT
            let factor{i} = probability_factors(
                head, existing(query{i}), existing(first_key + 4u * quad{i}) / 4u);
#else
            let factor{i} = vec4<f32>(1.0);
#end
            let delta{i} = rows[row_index(head, existing(query{i})) + {VECTORS}u].x;
            put_weights(row{i}, quad{i}, p{i} * factor{i});
            put_weights(D_SCORE_LINES + row{i}, quad{i},
                p{i} * (four_sums(row{i}, quad{i}) * factor{i} - delta{i}));
#end
            workgroupBarrier();
#each r < ROWS
            let w{r} = coopLoad<FragmentA>(
                &weights[{r}u * EXTENT * LINE_OF_WEIGHTS + own * EXTENT / CELL], LINE_OF_WEIGHTS);
            let d_s{r} = coopLoad<FragmentA>(
                &weights[(D_SCORE_LINES + {r}u * EXTENT) * LINE_OF_WEIGHTS + own * EXTENT / CELL],
                LINE_OF_WEIGHTS);
#each d < DEPTH
            let b{r}_{d} = coopLoadT<FragmentB>(
                &staged[(D_OUT_LINES + {r}u * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
            d_v{d} = coopMultiplyAdd(w{r}, b{r}_{d}, d_v{d});
            let c{r}_{d} = coopLoadT<FragmentB>(
                &staged[(QUERY_LINES + {r}u * EXTENT) * LINE + {d}u * EXTENT / CELL], LINE);
            d_k{d} = coopMultiplyAdd(d_s{r}, c{r}_{d}, d_k{d});
#end
#end
#each n < OWN
            let number{n} = min(own + {n}u * SUBGROUPS, {ROWS}u * {DEPTH}u - 1u);
            let down{n} = number{n} / {DEPTH}u * EXTENT;
            let right{n} = number{n} % {DEPTH}u * EXTENT / CELL;
            var d_q{n} = FragmentC();
#each k < 4
            let d{n}_{k} = coopLoadT<FragmentA>(
                &weights[(D_SCORE_LINES + down{n}) * LINE_OF_WEIGHTS + {k}u * EXTENT / CELL], LINE_OF_WEIGHTS);
            let e{n}_{k} = coopLoadT<FragmentB>(&staged[{k}u * EXTENT * LINE + right{n}], LINE);
            d_q{n} = coopMultiplyAdd(d{n}_{k}, e{n}_{k}, d_q{n});
#end
            let is_nobodys{n} = is_surplus || own + {n}u * SUBGROUPS != number{n};
            coopStoreT(d_q{n},
                &sums[down{n} * LINE_OF_SUMS + select(right{n}, SPARE_COLUMN, is_nobodys{n})], LINE_OF_SUMS);
#end
            workgroupBarrier();
            for (var i = thread; i < QUERY_TILE * (WIDTH / 4u); i += THREADS) {
                let row = i / (WIDTH / 4u);
                let v = i % (WIDTH / 4u);
                let query = first_query + row;
                if (query < tokens && v < {VECTORS}u) {
                    let at = row_index(head, query) + v;
                    var d_q = four_sums(row, v);
                    if (first_key > 0u) { d_q += rows[at]; }
                    rows[at] = d_q;
                    if (first_key + KEY_TILE >= tokens) {
                        let own_at = qkv_index(head, query, 0u) + 4u * v;
                        store_d_qkv(own_at, DIM_HEAD - 4u * v, d_q * params.scale);
                    }
                }
            }
        }
        // Both gradients of a fragment's keys lie beside each other.
        let place = own % {ROWS}u * EXTENT * LINE_OF_SUMS;
        let column = own / {ROWS}u * 2u * EXTENT / CELL;
#each d < DEPTH
        workgroupBarrier();
        coopStoreT(d_k{d}, &sums[place + select(column, SPARE_COLUMN, is_surplus)], LINE_OF_SUMS);
        coopStoreT(d_v{d},
            &sums[place + select(column + EXTENT / CELL, SPARE_COLUMN, is_surplus)], LINE_OF_SUMS);
        workgroupBarrier();
        for (var i = thread; i < 2u * KEY_TILE * (EXTENT / 4u); i += THREADS) {
            let v = i % (EXTENT / 4u);
            let part = i / (EXTENT / 4u) % 2u;
            let row = i / (EXTENT / 2u);
            let fragment = row / EXTENT;
            let key = first_key + row;
            let value = 4u * v + {d}u * EXTENT;
            if (key < tokens && value < DIM_HEAD) {
                let four = four_sums(fragment % {ROWS}u * EXTENT + row % EXTENT,
                    (fragment / {ROWS}u * 2u + part) * (EXTENT / 4u) + v);
                store_d_qkv(qkv_index(head, key, 1u + part) + value, DIM_HEAD - value,
                    four * select(params.scale, 1.0, part > 0u));
            }
        }
#end
    }
}
