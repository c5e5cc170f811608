// What the GEMM kernels share whose workgroups compute tiles of the output: which way the operands lie, which
// tile and which part of K a workgroup has, and what happens at the edges (see epilogue.wgsl).

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
    let groups_n = (params.n + cols - 1u) / cols;
    let tile = group % (params.groups_m * groups_n);
    let part = group / (params.groups_m * groups_n);
    let k_first = part * params.k_part;
    let k_end = min(k_first + params.k_part, params.k);
    return Tile(tile % params.groups_m * rows, tile / params.groups_m * cols, part, k_first, k_end);
}

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

/// Stores four neighbouring outputs: the product, or a part of it.
fn finish(part: u32, row: u32, col: u32, product: vec4<f32>, bias: vec4<f32>) {
    if (!SPLIT) {
        store(row, col, product, bias);
        return;
    }
    if (row < params.m && col < params.n) {
        store_out((part * params.m + row) * params.n + col, params.n - col, product);
    }
}
