//! enable wgpu_cooperative_matrix
//! twin gemm
//! include gemm/epilogue
//! include gemm/tiles
//! include prelude/fragments
// Products of cooperative matrices.
//
// A workgroup computes a tile of the output in steps of K_STEP along K; each of its SUBGROUPS_M × SUBGROUPS_N
// subgroups has ROUNDS_M·ROWS × ROUNDS_N·COLS fragments of it. Fragments of the operands come straight from storage
// (DIRECT), or from workgroup memory, in the order in which operands are stored: the next step's are loaded while
// this one's are multiplied, and with two buffers (DOUBLE) a step has one barrier. A fragment is read by rows or by
// columns.
//
// Past the edge the last rows and columns are repeated, and their sums dropped. Past the end of K, A is zero, and B
// repeats values that are in the sum.
//
// The sums go through workgroup memory, ROWS × COLS fragments of each subgroup a round, on their way to the epilogue.

#count SUBGROUPS_M = 2
#count SUBGROUPS_N = 2
#count ROUNDS_M = 1
#count ROUNDS_N = 1
#count ROWS = 2
#count COLS = 2
#count K_STEP = 32
/// Fragments along K that are written out; a loop passes over the rest of a step.
#count UNROLL = 2
/// Words that an invocation loads of either operand in a step.
#count LOADS_A = 4
#count LOADS_B = 4
/// Two tiles of either operand in workgroup memory, by turns.
#count DOUBLE = 0
/// Fragments come straight from storage. All extents are whole fragments, K is whole steps.
#count DIRECT = 0

const STEP: u32 = {K_STEP}u;
const SUBGROUPS: u32 = {SUBGROUPS_M}u * {SUBGROUPS_N}u;
const THREADS: u32 = SUBGROUPS * {SUBGROUP_SIZE}u;
/// Rows and columns of a subgroup in a round, of a workgroup, and of its tile.
const ROWS: u32 = {ROWS}u * EXTENT;
const COLS: u32 = {COLS}u * EXTENT;
const HEIGHT: u32 = {SUBGROUPS_M}u * ROWS;
const WIDTH: u32 = {SUBGROUPS_N}u * COLS;
const TILE_M: u32 = {ROUNDS_M}u * HEIGHT;
const TILE_N: u32 = {ROUNDS_N}u * WIDTH;

#if DIRECT
alias Stored = Cell;
#else
alias Stored = Word;
#end
// The operands again, which this kernel reads in no other way.
@group(0) @binding(5) var<storage, read> stored_a: array<Stored>;
@group(0) @binding(6) var<storage, read> stored_b: array<Stored>;

/// Lines of sums in cells, a vector longer than they need be, lest all of them begin in the same bank.
const SUMS_LENGTH: u32 = (WIDTH + 4u) / CELL;
var<workgroup> sums: array<CellOfSums, (HEIGHT + {SURPLUS}u * ROWS) * SUMS_LENGTH>;

#if DIRECT
/// The fragment of A that begins `row` rows below the tile's corner and `k` behind K `at`.
fn fragment_a(tile: Tile, at: u32, row: u32, k: u32) -> FragmentA {
    let inside = min(tile.row + row, params.m - EXTENT);
    let length = select(params.k, params.m, TRANS_A) / CELL;
    if (TRANS_A) {
        return coopLoad<FragmentA>(&stored_a[(at + k) * length + inside / CELL], length);
    }
    return coopLoadT<FragmentA>(&stored_a[inside * length + (at + k) / CELL], length);
}

/// The fragment of B that begins `k` behind K `at` and `col` columns right of the tile's corner.
fn fragment_b(tile: Tile, at: u32, k: u32, col: u32) -> FragmentB {
    let inside = min(tile.col + col, params.n - EXTENT);
    let length = select(params.n, params.k, TRANS_B) / CELL;
    if (TRANS_B) {
        return coopLoad<FragmentB>(&stored_b[inside * length + (at + k) / CELL], length);
    }
    return coopLoadT<FragmentB>(&stored_b[(at + k) * length + inside / CELL], length);
}
#else
/// Words of a line of either tile, and its length in cells with the gap behind it, for the same reason.
override WORDS_A: u32 = select(STEP, TILE_M, TRANS_A) / WORD;
override WORDS_B: u32 = select(TILE_N, STEP, TRANS_B) / WORD;
override LENGTH_A: u32 = (WORDS_A + 1u) * WORD / CELL;
override LENGTH_B: u32 = (WORDS_B + 1u) * WORD / CELL;
/// Cells of a tile of A, whichever way it lies, and of a buffer.
const CELLS_A: u32 = (TILE_M * STEP + max(TILE_M, STEP) * WORD) / CELL;
const BUFFER: u32 = CELLS_A + (TILE_N * STEP + max(TILE_N, STEP) * WORD) / CELL;
var<workgroup> staged: array<Cell, (1u + {DOUBLE}u) * BUFFER>;

/// The fragment of A that begins at `row` and `k` of its tile in the buffer at `at`.
fn fragment_a(tile: Tile, at: u32, row: u32, k: u32) -> FragmentA {
    if (TRANS_A) {
        return coopLoad<FragmentA>(&staged[at + k * LENGTH_A + row / CELL], LENGTH_A);
    }
    return coopLoadT<FragmentA>(&staged[at + row * LENGTH_A + k / CELL], LENGTH_A);
}

/// The fragment of B that begins at `k` and `col` of its tile in the buffer at `at`.
fn fragment_b(tile: Tile, at: u32, k: u32, col: u32) -> FragmentB {
    if (TRANS_B) {
        return coopLoad<FragmentB>(&staged[at + CELLS_A + col * LENGTH_B + k / CELL], LENGTH_B);
    }
    return coopLoadT<FragmentB>(&staged[at + CELLS_A + k * LENGTH_B + col / CELL], LENGTH_B);
}

/// Word `n` of an invocation: the line of a tile whose lines have `words`, and its number there.
struct Place {
    line: u32,
    word: u32,
}

fn place(thread: u32, n: u32, words: u32) -> Place {
    return Place(thread / words + n * (THREADS / words), thread % words);
}

/// Word `n` of an invocation, of the tile of A from `k0` on.
fn fetch_a(tile: Tile, k0: u32, thread: u32, n: u32) -> Word {
    let place = place(thread, n, WORDS_A);
    if (TRANS_A) {
        let k = min(k0 + place.line, tile.k_end - 1u);
        let words = params.m / WORD;
        return stored_a[k * words + min(tile.row / WORD + place.word, words - 1u)];
    }
    let row = min(tile.row + place.line, params.m - 1u);
    return stored_a[row * (params.k / WORD) + min(k0 / WORD + place.word, tile.k_end / WORD - 1u)];
}

/// Word `n` of an invocation, of the tile of B from `k0` on.
fn fetch_b(tile: Tile, k0: u32, thread: u32, n: u32) -> Word {
    let place = place(thread, n, WORDS_B);
    if (TRANS_B) {
        let col = min(tile.col + place.line, params.n - 1u);
        return stored_b[col * (params.k / WORD) + min(k0 / WORD + place.word, tile.k_end / WORD - 1u)];
    }
    let k = min(k0 + place.line, tile.k_end - 1u);
    let words = params.n / WORD;
    return stored_b[k * words + min(tile.col / WORD + place.word, words - 1u)];
}

/// Puts a word, or zeros, into workgroup memory from cell `i` on.
fn share(i: u32, word: Word, is_zero: bool) {
#each p < PARTS
    let part{p} = select(word[{p}], act4(), is_zero);
#if WIDE
    staged[i + {p}u] = part{p};
#else
    staged[i + 4u * {p}u] = part{p}.x;
    staged[i + 4u * {p}u + 1u] = part{p}.y;
    staged[i + 4u * {p}u + 2u] = part{p}.z;
    staged[i + 4u * {p}u + 3u] = part{p}.w;
#end
#end
}

fn share_a(tile: Tile, at: u32, k0: u32, thread: u32, n: u32, word: Word) {
    let place = place(thread, n, WORDS_A);
    let k = k0 + select(place.word * WORD, place.line, TRANS_A);
    share(at + place.line * LENGTH_A + place.word * (WORD / CELL), word, k >= tile.k_end);
}

fn share_b(at: u32, thread: u32, n: u32, word: Word) {
    let place = place(thread, n, WORDS_B);
    share(at + CELLS_A + place.line * LENGTH_B + place.word * (WORD / CELL), word, false);
}
#end

/// Four sums from column `col` of line `line` on.
fn four_sums(line: u32, col: u32) -> vec4<f32> {
    let i = line * SUMS_LENGTH + col / CELL;
#if WIDE
    return sums[i];
#else
    return vec4<f32>(sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]);
#end
}

/// Stores the sums of round `r` along M and `q` along N, if there is such a tile. An invocation has four columns.
fn finish_round(tile: Tile, r: u32, q: u32, thread: u32) {
    if (tile.k_first >= params.k) {
        return;
    }
    let right = thread % (WIDTH / 4u) * 4u;
    let col = tile.col + (right / COLS * {ROUNDS_N}u + q) * COLS + right % COLS;
    let bias = bias_of(col);
    for (var line = thread / (WIDTH / 4u); line < HEIGHT; line += THREADS / (WIDTH / 4u)) {
        let row = tile.row + (line / ROWS * {ROUNDS_M}u + r) * ROWS + line % ROWS;
        finish(tile.part, row, col, four_sums(line, right), bias);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let tile = tile_of(group_index(wid, nwg), TILE_M, TILE_N);
    let down = subgroup % {SUBGROUPS_M}u;
    let right = subgroup / {SUBGROUPS_M}u % {SUBGROUPS_N}u;
    let row = down * {ROUNDS_M}u * ROWS;
    let col = right * {ROUNDS_N}u * COLS;
#each r < ROUNDS_M, i < ROWS, q < ROUNDS_N, j < COLS
    var c{r}_{i}_{q}_{j} = FragmentC();
#end

    var at = 0u;
#if DIRECT
#else
#each n < LOADS_A
    var word_a{n} = fetch_a(tile, tile.k_first, thread, {n}u);
#end
#each n < LOADS_B
    var word_b{n} = fetch_b(tile, tile.k_first, thread, {n}u);
#end
#end
    for (var k0 = tile.k_first; k0 < tile.k_end; k0 += STEP) {
#if DIRECT
        at = k0;
#else
#if DOUBLE
        at = BUFFER - at;
#else
        workgroupBarrier();
#end
#each n < LOADS_A
        share_a(tile, at, k0, thread, {n}u, word_a{n});
#end
#each n < LOADS_B
        share_b(at, thread, {n}u, word_b{n});
#end
        workgroupBarrier();
        if (k0 + STEP < tile.k_end) {
#each n < LOADS_A
            word_a{n} = fetch_a(tile, k0 + STEP, thread, {n}u);
#end
#each n < LOADS_B
            word_b{n} = fetch_b(tile, k0 + STEP, thread, {n}u);
#end
        }
#end
        for (var k = 0u; k < STEP; k += {UNROLL}u * EXTENT) {
#each s < UNROLL
            let k{s} = k + {s}u * EXTENT;
#each q < ROUNDS_N, j < COLS
            let b{s}_{q}_{j} = fragment_b(tile, at, k{s}, col + {q}u * COLS + {j}u * EXTENT);
#end
#each r < ROUNDS_M, i < ROWS
            let a{s}_{r}_{i} = fragment_a(tile, at, row + {r}u * ROWS + {i}u * EXTENT, k{s});
#each q < ROUNDS_N, j < COLS
            c{r}_{i}_{q}_{j} = coopMultiplyAdd(a{s}_{r}_{i}, b{s}_{q}_{j}, c{r}_{i}_{q}_{j});
#end
#end
#end
        }
    }

    let line = select(down, {SUBGROUPS_M}u, subgroup >= SUBGROUPS) * ROWS;
    let sum = line * SUMS_LENGTH + right * COLS / CELL;
#each r < ROUNDS_M, q < ROUNDS_N
    workgroupBarrier();
#each i < ROWS, j < COLS
    coopStoreT(c{r}_{i}_{q}_{j}, &sums[sum + {i}u * EXTENT * SUMS_LENGTH + {j}u * EXTENT / CELL], SUMS_LENGTH);
#end
    workgroupBarrier();
    finish_round(tile, {r}u, {q}u, thread);
#end
}
