//! enable wgpu_cooperative_matrix
//! twin gemm
//! include gemm/epilogue
//! include gemm/tiles
// Products of cooperative matrices, which the invocations of a subgroup hold and multiply together (tensor
// cores). A fragment is EXTENT × EXTENT.
//
// A workgroup computes a tile of the output; of its subgroups SUBGROUPS_M × SUBGROUPS_N have ROWS × COLS
// fragments of it each. Operands go through workgroup memory in the order in which they are stored, zeros
// beyond their edges; a fragment is read from there by rows or by columns. The sums come back the same way, one
// fragment of each subgroup at a time, as an invocation does not know which elements it holds.

#count EXTENT = 16
const EXTENT: u32 = {EXTENT}u;
alias FragmentA = coop_mat{EXTENT}x{EXTENT}<act, A>;
alias FragmentB = coop_mat{EXTENT}x{EXTENT}<act, B>;
alias FragmentC = coop_mat{EXTENT}x{EXTENT}<f32, C>;

override SUBGROUPS_M: u32 = 2u;
override SUBGROUPS_N: u32 = 2u;
/// Fragments of one subgroup, at most 4.
override ROWS: u32 = 2u;
override COLS: u32 = 2u;
/// The most invocations that a subgroup has.
override SUBGROUP_SIZE: u32 = 32u;
/// Whether it may have fewer. Then there are more subgroups, and those beyond the first SUBGROUPS repeat what these
/// do, into a place of their own: cooperative operations must be in uniform control flow.
override VARIES: bool = false;

override SUBGROUPS: u32 = SUBGROUPS_M * SUBGROUPS_N;
override THREADS: u32 = SUBGROUPS * SUBGROUP_SIZE;
override TILE_M: u32 = SUBGROUPS_M * ROWS * EXTENT;
override TILE_N: u32 = SUBGROUPS_N * COLS * EXTENT;
/// Values of a fragment.
const AREA: u32 = EXTENT * EXTENT;
/// Between the lines of a shared tile, lest all of them begin in the same bank; a multiple of 16 bytes.
const GAP: u32 = 8u;

// Scalars, as pointers to vectors are not what Metal loads fragments from.
var<workgroup> tile_a: array<act, TILE_M * (K_STEP + GAP)>;
var<workgroup> tile_b: array<act, TILE_N * (K_STEP + GAP)>;
var<workgroup> sums: array<f32, (SUBGROUPS + u32(VARIES)) * AREA>;

/// K that a workgroup takes at once.
const K_STEP: u32 = 16u;

/// Four values of A (or B) from row (or column) `outer` and `k` on, along whichever is contiguous;
/// zero outside and from `k_end` on.
fn load(of_b: bool, outer: u32, k: u32, k_end: u32) -> vec4<f32> {
    let extent = select(params.m, params.n, of_b);
    if (outer >= extent || k >= k_end) {
        return vec4<f32>();
    }
    let along_k = select(!TRANS_A, TRANS_B, of_b);
    let i = select(k * extent + outer, outer * params.k + k, along_k);
    let rest = select(extent - outer, k_end - k, along_k);
    if (of_b) {
        return load_b(i, rest);
    }
    return load_a(i, rest);
}

fn share(of_b: bool, i: u32, v: vec4<f32>) {
    if (of_b) {
        tile_b[i] = act(v.x);
        tile_b[i + 1u] = act(v.y);
        tile_b[i + 2u] = act(v.z);
        tile_b[i + 3u] = act(v.w);
    } else {
        tile_a[i] = act(v.x);
        tile_a[i + 1u] = act(v.y);
        tile_a[i + 2u] = act(v.z);
        tile_a[i + 3u] = act(v.w);
    }
}

/// Fills the shared tile of A (or B) that begins at row (or column) `first` and `k0`.
fn load_tile(of_b: bool, thread: u32, first: u32, k0: u32, k_end: u32) {
    let extent = select(TILE_M, TILE_N, of_b);
    let along_k = select(!TRANS_A, TRANS_B, of_b);
    let length = select(extent, K_STEP, along_k);
    for (var v = thread; v < K_STEP / 4u * extent; v += THREADS) {
        let line = v / (length / 4u);
        let i = v % (length / 4u) * 4u;
        let outer = first + select(i, line, along_k);
        let k = k0 + select(line, i, along_k);
        share(of_b, line * (length + GAP) + i, load(of_b, outer, k, k_end));
    }
}

/// The fragment of A that begins at `row` and `k` of its shared tile.
fn fragment_a(row: u32, k: u32) -> FragmentA {
    if (TRANS_A) {
        return coopLoad<FragmentA>(&tile_a[k * (TILE_M + GAP) + row], TILE_M + GAP);
    }
    return coopLoadT<FragmentA>(&tile_a[row * (K_STEP + GAP) + k], K_STEP + GAP);
}

/// The fragment of B that begins at `k` and `col` of its shared tile.
fn fragment_b(k: u32, col: u32) -> FragmentB {
    if (TRANS_B) {
        return coopLoad<FragmentB>(&tile_b[col * (K_STEP + GAP) + k], K_STEP + GAP);
    }
    return coopLoadT<FragmentB>(&tile_b[k * (TILE_N + GAP) + col], TILE_N + GAP);
}

/// Stores the sums of the subgroups' fragments in row `i` and column `j`, if there is such a tile.
fn finish_fragments(thread: u32, tile: Tile, i: u32, j: u32) {
    if (tile.k_first >= params.k) {
        return;
    }
    for (var v = thread; v < SUBGROUPS * AREA / 4u; v += THREADS) {
        let subgroup = v / (AREA / 4u);
        let line = v % (AREA / 4u) / (EXTENT / 4u);
        let row = tile.row + (subgroup % SUBGROUPS_M * ROWS + i) * EXTENT + line;
        let first_col = tile.col + (subgroup / SUBGROUPS_M * COLS + j) * EXTENT;
        let col = first_col + v % (EXTENT / 4u) * 4u;
        let product = vec4<f32>(sums[4u * v], sums[4u * v + 1u], sums[4u * v + 2u], sums[4u * v + 3u]);
        finish(tile.part, row, col, product, bias_of(col));
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
    let row = subgroup % SUBGROUPS_M * ROWS * EXTENT;
    let col = subgroup % SUBGROUPS / SUBGROUPS_M * COLS * EXTENT;
    var c: array<FragmentC, 16>;
    for (var k0 = tile.k_first; k0 < tile.k_end; k0 += K_STEP) {
        load_tile(false, thread, tile.row, k0, tile.k_end);
        load_tile(true, thread, tile.col, k0, tile.k_end);
        workgroupBarrier();
        for (var k = 0u; k < K_STEP; k += EXTENT) {
            var b: array<FragmentB, 4>;
            for (var j = 0u; j < COLS; j++) {
                b[j] = fragment_b(k, col + j * EXTENT);
            }
            for (var i = 0u; i < ROWS; i++) {
                let a = fragment_a(row + i * EXTENT, k);
                for (var j = 0u; j < COLS; j++) {
                    c[4u * i + j] = coopMultiplyAdd(a, b[j], c[4u * i + j]);
                }
            }
        }
        workgroupBarrier();
    }

    for (var i = 0u; i < ROWS; i++) {
        for (var j = 0u; j < COLS; j++) {
            coopStoreT(c[4u * i + j], &sums[min(subgroup, SUBGROUPS) * AREA], EXTENT);
            workgroupBarrier();
            finish_fragments(thread, tile, i, j);
            workgroupBarrier();
        }
    }
}
