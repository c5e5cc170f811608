// What the GEMM kernels share whose workgroups compute tiles of the output: which way the operands lie, which
// tile and which part of K a workgroup has, and what becomes of the product (see epilogue.wgsl).

/// A is stored [K,M] instead of [M,K].
override TRANS_A: bool = false;
/// B is stored [N,K] instead of [K,N].
override TRANS_B: bool = false;
/// Workgroups share the sum over K: each stores its part, [M,N], to `out[part]` without epilogue.
override SPLIT: bool = false;

#operand 5 read a: act // [M, K], with TRANS_A [K, M]
#operand 6 read b: act // [K, N], with TRANS_B [N, K]

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
