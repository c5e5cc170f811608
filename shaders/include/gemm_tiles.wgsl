// What the GEMM kernels share whose workgroups compute tiles of the output: which way the operands lie, which
// tile and which part of K a workgroup has, and what happens at the edges (see gemm_epilogue.wgsl).

/// A is stored [K,M] instead of [M,K].
override TRANS_A: bool = false;
/// B is stored [N,K] instead of [K,N].
override TRANS_B: bool = false;
/// Workgroups share the sum over K: each stores its part, [M,N], to `out[part]` without epilogue.
override SPLIT: bool = false;

/// K that a workgroup takes at once.
const K_STEP: u32 = 16u;

/// A workgroup's share: the tile of the output that begins at `row` and `col`, summed from `k_first` to `k_end`.
struct Tile {
    row: u32,
    col: u32,
    part: u32,
    k_first: u32,
    k_end: u32,
}

/// The share of a workgroup, in tiles of `rows × cols`. Past the last one `k_first` is not below K.
fn tile_of(group: u32, rows: u32, cols: u32) -> Tile {
    let groups_n = (dims.n + cols - 1u) / cols;
    let tile = group % (dims.groups_m * groups_n);
    let part = group / (dims.groups_m * groups_n);
    let k_first = part * dims.k_part;
    let k_end = min(k_first + dims.k_part, dims.k);
    return Tile(tile % dims.groups_m * rows, tile / dims.groups_m * cols, part, k_first, k_end);
}

/// Four values of A (or B) from row (or column) `outer` and `k` on, along whichever is contiguous;
/// zero outside and from `k_end` on.
fn load(of_b: bool, outer: u32, k: u32, k_end: u32) -> vec4<f32> {
    let extent = select(dims.m, dims.n, of_b);
    if (outer >= extent || k >= k_end) {
        return vec4<f32>();
    }
    let along_k = select(!TRANS_A, TRANS_B, of_b);
    let i = select(k * extent + outer, outer * dims.k + k, along_k) / 4u;
    if (of_b) {
        return load_b(i);
    }
    return load_a(i);
}

/// Stores four neighbouring outputs: the product, or a part of it.
fn finish(part: u32, row: u32, col: u32, product: vec4<f32>, bias_col: vec4<f32>) {
    if (!SPLIT) {
        store(row, col, product, bias_col);
        return;
    }
    if (row < dims.m && col < dims.n / 4u) {
        out[(part * dims.m + row) * (dims.n / 4u) + col] = to_output4(product);
    }
}
