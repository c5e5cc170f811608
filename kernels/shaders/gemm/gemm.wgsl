//! include gemm/epilogue
//! include gemm/tiles
// `out[M,N] = op(A)·op(B)`, then the epilogue, for any M, N, K ≥ 1.
//
// A workgroup computes a tile of the output, each of its threads 4·ROWS rows × 4·COLS columns of it, in steps of
// K_STEP along K. Vectors of four lie along K where the operand does, else along rows (or columns): a thread turns
// blocks of 4×4 in its registers, where that costs nothing. Where they are STAGED, the operands go through workgroup memory;
// the next step's are loaded while this one is multiplied, and with two buffers a step has one barrier. Else every
// thread loads what it needs: for GPUs whose workgroup memory is no faster than their cache.
//
// Rows and columns past the edge repeat the last ones and are dropped at the end: only the end of K, where that is no
// whole step, is masked.

#count THREADS_M = 8
#count THREADS_N = 16
#count ROWS = 2
#count COLS = 1
/// Operands go through workgroup memory, by turns through two buffers.
#count STAGED = 1
#count DOUBLE = 1
/// Vectors of four along K in a step.
#count DEPTH = 2
/// Vectors that a thread loads of either operand in a step.
#count LOADS_A = 1
#count LOADS_B = 1

const THREADS: u32 = {THREADS_M}u * {THREADS_N}u;
const TILE_M: u32 = 4u * {ROWS}u * {THREADS_M}u;
const TILE_N: u32 = 4u * {COLS}u * {THREADS_N}u;
const DEPTH: u32 = {DEPTH}u;
const K_STEP: u32 = 4u * DEPTH;
/// Threads that run in step: they compute a block of the tile, so that few operands serve many of them.
const BLOCK: u32 = 32u;
const BLOCK_N: u32 = 8u;
const BLOCK_M: u32 = BLOCK / BLOCK_N;

/// K is no whole number of steps.
override RAGGED: bool = false;

/// Where the last vector along an extent begins.
fn last_vector(extent: u32) -> u32 {
    return (extent - 1u) / 4u * 4u;
}

/// Four values of A: of row `row` from `k` on, or with TRANS_A from `row` on of row `k`; zero from `k_end` on.
fn fetch_a(row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let last = select(last_vector(k_end), k_end - 1u, TRANS_A);
    let inside = select(k, min(k, last), RAGGED);
    let i = select(row * params.k + inside, inside * params.m + row, TRANS_A);
    let v = load_a(i, select(k_end - inside, params.m - row, TRANS_A));
    return select(v, vec4<f32>(), RAGGED && k > last);
}

/// Four values of B: with TRANS_B of column `col` from `k` on, or from `col` on of row `k`; zero from `k_end` on.
fn fetch_b(col: u32, k: u32, k_end: u32) -> vec4<f32> {
    let last = select(k_end - 1u, last_vector(k_end), TRANS_B);
    let inside = select(k, min(k, last), RAGGED);
    let i = select(inside * params.n + col, col * params.k + inside, TRANS_B);
    let v = load_b(i, select(params.n - col, k_end - inside, TRANS_B));
    return select(v, vec4<f32>(), RAGGED && k > last);
}

/// The row from which `fetch_a` loads instead of `row`, which may be past the edge.
fn row_inside(row: u32) -> u32 {
    return min(row, select(params.m - 1u, last_vector(params.m), TRANS_A));
}

/// The column from which `fetch_b` loads instead of `col`.
fn col_inside(col: u32) -> u32 {
    return min(col, select(last_vector(params.n), params.n - 1u, TRANS_B));
}

#if STAGED
var<workgroup> tile_a: array<vec4<f32>, ({STAGED}u + {DOUBLE}u) * DEPTH * TILE_M>;
var<workgroup> tile_b: array<vec4<f32>, ({STAGED}u + {DOUBLE}u) * DEPTH * TILE_N>;

/// Place in a shared tile of `lines` rows (or columns) of number `kv` along K of line `4·i + r`. Threads that store
/// neighbours along K, and threads that read the same `r` of neighbouring `i`, meet different banks.
fn along_k(kv: u32, i: u32, r: u32, lines: u32) -> u32 {
    return kv * lines + r * (lines / 4u) + (i ^ ((r * DEPTH + kv) % 8u));
}

/// Place in a shared tile of the vector `v` that a thread loads.
fn place(v: u32, is_along_k: bool, lines: u32) -> u32 {
    let line = v / DEPTH;
    return select(v, along_k(v % DEPTH, line / 4u, line % 4u, lines), is_along_k);
}

/// Vector `r` of block `i` of rows and `kv` of K, in buffer `at`: along K row `r`, else K `r`.
fn vector_a(tile: Tile, at: u32, kv: u32, i: u32, r: u32) -> vec4<f32> {
    let place = select(along_k(kv, i, r, TILE_M), (4u * kv + r) * (TILE_M / 4u) + i, TRANS_A);
    return tile_a[at * (DEPTH * TILE_M) + place];
}

/// Vector `r` of block `i` of columns and `kv` of K, in buffer `at`: along K column `r`, else K `r`.
fn vector_b(tile: Tile, at: u32, kv: u32, i: u32, r: u32) -> vec4<f32> {
    let place = select((4u * kv + r) * (TILE_N / 4u) + i, along_k(kv, i, r, TILE_N), TRANS_B);
    return tile_b[at * (DEPTH * TILE_N) + place];
}
#else
/// Vector `r` of block `i` of rows and `kv` of K, from K `at` on: along K row `r`, else K `r`.
fn vector_a(tile: Tile, at: u32, kv: u32, i: u32, r: u32) -> vec4<f32> {
    let row = tile.row + 4u * i + select(r, 0u, TRANS_A);
    return fetch_a(row_inside(row), at + 4u * kv + select(0u, r, TRANS_A), tile.k_end);
}

/// Vector `r` of block `i` of columns and `kv` of K, from K `at` on: along K column `r`, else K `r`.
fn vector_b(tile: Tile, at: u32, kv: u32, i: u32, r: u32) -> vec4<f32> {
    let col = tile.col + 4u * i + select(0u, r, TRANS_B);
    return fetch_b(col_inside(col), at + 4u * kv + select(r, 0u, TRANS_B), tile.k_end);
}
#end

/// A block of B, of which each column has one K and four columns of B.
fn block_b(tile: Tile, at: u32, kv: u32, i: u32) -> mat4x4<f32> {
    let v = mat4x4<f32>(
        vector_b(tile, at, kv, i, 0u),
        vector_b(tile, at, kv, i, 1u),
        vector_b(tile, at, kv, i, 2u),
        vector_b(tile, at, kv, i, 3u),
    );
    if (TRANS_B) {
        return transpose(v);
    }
    return v;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = tile_of(group_index(wid, nwg), TILE_M, TILE_N);
    if (tile.k_first >= params.k) {
        return;
    }
    let block = thread / BLOCK;
    let lane = thread % BLOCK;
    let blocks_n = {THREADS_N}u / BLOCK_N;
    let down = block / blocks_n * BLOCK_M + lane / BLOCK_N;
    let right = block % blocks_n * BLOCK_N + lane % BLOCK_N;

#each i < ROWS, j < COLS
    var c{i}_{j}_0 = vec4<f32>();
    var c{i}_{j}_1 = vec4<f32>();
    var c{i}_{j}_2 = vec4<f32>();
    var c{i}_{j}_3 = vec4<f32>();
#end
#if STAGED
#each i < LOADS_A
    let v_a{i} = thread + {i}u * THREADS;
    let place_a{i} = place(v_a{i}, !TRANS_A, TILE_M);
    let row{i} = row_inside(tile.row + select(v_a{i} / DEPTH, v_a{i} % (TILE_M / 4u) * 4u, TRANS_A));
    let k_a{i} = select(v_a{i} % DEPTH * 4u, v_a{i} / (TILE_M / 4u), TRANS_A);
    var a{i} = fetch_a(row{i}, tile.k_first + k_a{i}, tile.k_end);
    tile_a[place_a{i}] = a{i};
#end
#each i < LOADS_B
    let v_b{i} = thread + {i}u * THREADS;
    let place_b{i} = place(v_b{i}, TRANS_B, TILE_N);
    let col{i} = col_inside(tile.col + select(v_b{i} % (TILE_N / 4u) * 4u, v_b{i} / DEPTH, TRANS_B));
    let k_b{i} = select(v_b{i} / (TILE_N / 4u), v_b{i} % DEPTH * 4u, TRANS_B);
    var b{i} = fetch_b(col{i}, tile.k_first + k_b{i}, tile.k_end);
    tile_b[place_b{i}] = b{i};
#end
    workgroupBarrier();
    var at = 0u;
#end

    for (var k = tile.k_first; k < tile.k_end; k += K_STEP) {
#if STAGED
        let next = k + K_STEP;
        if (next < tile.k_end) {
#each i < LOADS_A
            a{i} = fetch_a(row{i}, next + k_a{i}, tile.k_end);
#end
#each i < LOADS_B
            b{i} = fetch_b(col{i}, next + k_b{i}, tile.k_end);
#end
        }
#else
        let at = k;
#end
        for (var kv = 0u; kv < DEPTH; kv++) {
            // Operands are loaded as late as can be: registers decide how many workgroups run at once.
            if (TRANS_A) {
#each r < 4
#each j < COLS
                let y{j}_{r} = vector_b(tile, at, kv, right + {j}u * {THREADS_N}u, {r}u);
#end
#each i < ROWS
                let x{i}_{r} = vector_a(tile, at, kv, down + {i}u * {THREADS_M}u, {r}u);
#each j < COLS
                c{i}_{j}_0 += x{i}_{r}.x * y{j}_{r};
                c{i}_{j}_1 += x{i}_{r}.y * y{j}_{r};
                c{i}_{j}_2 += x{i}_{r}.z * y{j}_{r};
                c{i}_{j}_3 += x{i}_{r}.w * y{j}_{r};
#end
#end
#end
            } else {
#each j < COLS
                let y{j} = block_b(tile, at, kv, right + {j}u * {THREADS_N}u);
#end
#each i < ROWS, r < 4
                let x{i}_{r} = vector_a(tile, at, kv, down + {i}u * {THREADS_M}u, {r}u);
#each j < COLS
                c{i}_{j}_{r} += x{i}_{r}.x * y{j}[0];
                c{i}_{j}_{r} += x{i}_{r}.y * y{j}[1];
                c{i}_{j}_{r} += x{i}_{r}.z * y{j}[2];
                c{i}_{j}_{r} += x{i}_{r}.w * y{j}[3];
#end
#end
            }
        }
#if STAGED
        if (next < tile.k_end) {
#if DOUBLE
            at = 1u - at;
#else
            workgroupBarrier();
#end
#each i < LOADS_A
            tile_a[at * (DEPTH * TILE_M) + place_a{i}] = a{i};
#end
#each i < LOADS_B
            tile_b[at * (DEPTH * TILE_N) + place_b{i}] = b{i};
#end
            workgroupBarrier();
        }
#end
    }

#each j < COLS
    let out_col{j} = tile.col + 4u * (right + {j}u * {THREADS_N}u);
    let bias{j} = bias_of(out_col{j});
#end
#each i < ROWS
    let out_row{i} = tile.row + 4u * (down + {i}u * {THREADS_M}u);
#end
#each i < ROWS, j < COLS
    finish(tile.part, out_row{i}, out_col{j}, c{i}_{j}_0, bias{j});
    finish(tile.part, out_row{i} + 1u, out_col{j}, c{i}_{j}_1, bias{j});
    finish(tile.part, out_row{i} + 2u, out_col{j}, c{i}_{j}_2, bias{j});
    finish(tile.part, out_row{i} + 3u, out_col{j}, c{i}_{j}_3, bias{j});
#end
}
