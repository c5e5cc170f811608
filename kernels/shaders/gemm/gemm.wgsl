//! include gemm/epilogue
//! include gemm/tiles
// `out[M,N] = op(A)·op(B)`, then the epilogue, for any M, N, K ≥ 1.
//
// THREADS_M × THREADS_N threads compute a tile of the output, each 4·ROWS rows × 4·COLS columns, in
// K steps of 16 through workgroup memory. Both shared tiles are K-major vec4s: a K row costs a
// thread ROWS + COLS vector reads for 16·ROWS·COLS multiply-adds. A thread's vectors lie a tile's
// half apart, so that neighbours read neighbours. An operand that is contiguous along K is read in
// blocks of 4×4, which are transposed on their way.

override THREADS_M: u32 = 16u;
override THREADS_N: u32 = 16u;
/// vec4s of rows and of columns of one thread: 1 or 2.
override ROWS: u32 = 1u;
override COLS: u32 = 1u;

override THREADS: u32 = THREADS_M * THREADS_N;
/// vec4s of one K row of the shared tiles.
override WIDTH_A: u32 = THREADS_M * ROWS;
override WIDTH_B: u32 = THREADS_N * COLS;

var<workgroup> tile_a: array<vec4<f32>, K_STEP * WIDTH_A>;
var<workgroup> tile_b: array<vec4<f32>, K_STEP * WIDTH_B>;

/// Place of vec4 `i` of K row `k` of a shared tile. Neighbours that transpose blocks write the same
/// `i` of every fourth row: exchanging vectors within the rows spreads them over the banks.
fn place(k: u32, i: u32, width: u32) -> u32 {
    return k * width + (i ^ (k / 4u * 2u));
}

fn share(of_b: bool, k: u32, i: u32, v: vec4<f32>) {
    if (of_b) {
        tile_b[place(k, i, WIDTH_B)] = v;
    } else {
        tile_a[place(k, i, WIDTH_A)] = v;
    }
}

/// Fills the shared tile of A (or B) that begins at row (or column) `first` and `k0`.
fn load_tile(of_b: bool, thread: u32, first: u32, k0: u32, k_end: u32) {
    let width = select(WIDTH_A, WIDTH_B, of_b);
    if (select(TRANS_A, !TRANS_B, of_b)) {
        for (var v = thread; v < K_STEP * width; v += THREADS) {
            let k = v / width;
            let i = v % width;
            share(of_b, k, i, load(of_b, first + 4u * i, k0 + k, k_end));
        }
        return;
    }
    for (var v = thread; v < K_STEP / 4u * width; v += THREADS) {
        let k = v % (K_STEP / 4u) * 4u;
        let i = v / (K_STEP / 4u);
        let outer = first + 4u * i;
        let block = transpose(mat4x4<f32>(
            load(of_b, outer, k0 + k, k_end),
            load(of_b, outer + 1u, k0 + k, k_end),
            load(of_b, outer + 2u, k0 + k, k_end),
            load(of_b, outer + 3u, k0 + k, k_end),
        ));
        share(of_b, k, i, block[0]);
        share(of_b, k + 1u, i, block[1]);
        share(of_b, k + 2u, i, block[2]);
        share(of_b, k + 3u, i, block[3]);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = tile_of(group_index(wid, nwg), 4u * WIDTH_A, 4u * WIDTH_B);
    if (tile.k_first >= params.k) {
        return;
    }
    let down = thread / THREADS_N;
    let right = thread % THREADS_N;

    var c0 = vec4<f32>();
    var d0 = vec4<f32>();
    var c1 = vec4<f32>();
    var d1 = vec4<f32>();
    var c2 = vec4<f32>();
    var d2 = vec4<f32>();
    var c3 = vec4<f32>();
    var d3 = vec4<f32>();
    var c4 = vec4<f32>();
    var d4 = vec4<f32>();
    var c5 = vec4<f32>();
    var d5 = vec4<f32>();
    var c6 = vec4<f32>();
    var d6 = vec4<f32>();
    var c7 = vec4<f32>();
    var d7 = vec4<f32>();

    for (var k0 = tile.k_first; k0 < tile.k_end; k0 += K_STEP) {
        load_tile(false, thread, tile.row, k0, tile.k_end);
        load_tile(true, thread, tile.col, k0, tile.k_end);
        workgroupBarrier();
        for (var k = 0u; k < K_STEP; k++) {
            let a0 = tile_a[place(k, down, WIDTH_A)];
            let b0 = tile_b[place(k, right, WIDTH_B)];
            c0 += a0.x * b0;
            c1 += a0.y * b0;
            c2 += a0.z * b0;
            c3 += a0.w * b0;
            if (COLS == 2u) {
                let b1 = tile_b[place(k, right + THREADS_N, WIDTH_B)];
                d0 += a0.x * b1;
                d1 += a0.y * b1;
                d2 += a0.z * b1;
                d3 += a0.w * b1;
                if (ROWS == 2u) {
                    let a1 = tile_a[place(k, down + THREADS_M, WIDTH_A)];
                    c4 += a1.x * b0;
                    c5 += a1.y * b0;
                    c6 += a1.z * b0;
                    c7 += a1.w * b0;
                    d4 += a1.x * b1;
                    d5 += a1.y * b1;
                    d6 += a1.z * b1;
                    d7 += a1.w * b1;
                }
            } else if (ROWS == 2u) {
                let a1 = tile_a[place(k, down + THREADS_M, WIDTH_A)];
                c4 += a1.x * b0;
                c5 += a1.y * b0;
                c6 += a1.z * b0;
                c7 += a1.w * b0;
            }
        }
        workgroupBarrier();
    }

    let row = tile.row + 4u * down;
    let col = tile.col + 4u * right;
    let bias0 = bias_of(col);
    finish(tile.part, row, col, c0, bias0);
    finish(tile.part, row + 1u, col, c1, bias0);
    finish(tile.part, row + 2u, col, c2, bias0);
    finish(tile.part, row + 3u, col, c3, bias0);
    let low = row + 4u * THREADS_M;
    if (ROWS == 2u) {
        finish(tile.part, low, col, c4, bias0);
        finish(tile.part, low + 1u, col, c5, bias0);
        finish(tile.part, low + 2u, col, c6, bias0);
        finish(tile.part, low + 3u, col, c7, bias0);
    }
    if (COLS == 2u) {
        let far = col + 4u * THREADS_N;
        let bias1 = bias_of(far);
        finish(tile.part, row, far, d0, bias1);
        finish(tile.part, row + 1u, far, d1, bias1);
        finish(tile.part, row + 2u, far, d2, bias1);
        finish(tile.part, row + 3u, far, d3, bias1);
        if (ROWS == 2u) {
            finish(tile.part, low, far, d4, bias1);
            finish(tile.part, low + 1u, far, d5, bias1);
            finish(tile.part, low + 2u, far, d6, bias1);
            finish(tile.part, low + 3u, far, d7, bias1);
        }
    }
}
