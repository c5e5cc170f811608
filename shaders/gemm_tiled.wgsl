// out[M,N] = op(A)·op(B) for any M, N, K ≥ 1, then the epilogue: the GPU kernel, and the one for
// sizes the direct kernels cannot take.
//
// A workgroup computes a 64×64 tile, each of its 128 threads 8 rows × 4 columns, in K steps of 16
// through workgroup memory. Neighbouring threads read neighbouring global addresses whichever way
// an operand lies. Both shared tiles are K-major vec4s, so that a step costs a thread three vector
// reads (two of them the same for all threads of a row) for 32 multiply-adds; rows are padded from
// 16 to 17 vec4s, which spreads the transposing writes over all banks.

struct Dims {
    m: u32,
    n: u32,
    k: u32,
    /// Tiles along M: ceil(m / 64).
    groups_m: u32,
}

/// A is stored [K,M] instead of [M,K].
override TRANS_A: bool = false;
/// B is stored [N,K] instead of [K,N].
override TRANS_B: bool = false;
/// Adds bias[n].
override BIAS: bool = false;
/// Continues with GELU of the value so far.
override GELU: bool = false;
/// With GELU: stores the value before it to `pre`.
override PRE: bool = false;
/// Multiplies by gelu'(out): `out` is the pre-activation saved by the forward pass, which the product
/// replaces.
override GELU_GRAD: bool = false;
/// Adds `extra`.
override RESIDUAL: bool = false;
/// Adds to `out` instead of replacing it.
override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<act>;
@group(0) @binding(2) var<storage, read> b: array<act>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> extra: array<act>;
@group(0) @binding(5) var<storage, read_write> out: array<output>;
@group(0) @binding(6) var<storage, read_write> pre: array<act>;

const TILE: u32 = 64u;
const K_STEP: u32 = 16u;
const THREADS: u32 = 128u;
/// vec4s of one K row of a shared tile, with padding.
const STRIDE: u32 = 17u;

var<workgroup> tile_a: array<vec4<f32>, K_STEP * STRIDE>;
var<workgroup> tile_b: array<vec4<f32>, K_STEP * STRIDE>;

/// op(A)[row, k], zero outside.
fn load_a(row: u32, k: u32) -> f32 {
    if (row >= dims.m || k >= dims.k) {
        return 0.0;
    }
    return f32(a[select(row * dims.k + k, k * dims.m + row, TRANS_A)]);
}

/// op(B)[k, col], zero outside.
fn load_b(k: u32, col: u32) -> f32 {
    if (col >= dims.n || k >= dims.k) {
        return 0.0;
    }
    return f32(b[select(k * dims.n + col, col * dims.k + k, TRANS_B)]);
}

/// Place in a shared tile, (K row, vec4), that the `i`-th of 256 loads fills: the faster running
/// coordinate is the one along which the operand is contiguous.
fn load_place(i: u32, k_contiguous: bool) -> vec2<u32> {
    let fast = i % 16u;
    let slow = i / 16u;
    return select(vec2<u32>(slow, fast), vec2<u32>(fast, slow), k_contiguous);
}

fn store(row: u32, col: u32, product: f32) {
    if (row >= dims.m || col >= dims.n) {
        return;
    }
    let i = row * dims.n + col;
    var v = product;
    if (BIAS) {
        v += bias[col];
    }
    if (GELU) {
        if (PRE) {
            pre[i] = to_act(v);
        }
        v = gelu(v);
    }
    if (GELU_GRAD) {
        v *= gelu_grad(f32(out[i]));
    }
    if (RESIDUAL) {
        v += f32(extra[i]);
    }
    if (ACCUMULATE) {
        v += f32(out[i]);
    }
    out[i] = to_output(v);
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let group = group_index(wid, nwg);
    let first_row = group % dims.groups_m * TILE;
    let first_col = group / dims.groups_m * TILE;
    if (first_col >= dims.n) {
        return;
    }
    let row = thread / 16u;
    let col = thread % 16u;

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    var c4 = vec4<f32>();
    var c5 = vec4<f32>();
    var c6 = vec4<f32>();
    var c7 = vec4<f32>();

    for (var k0 = 0u; k0 < dims.k; k0 += K_STEP) {
        for (var i = thread; i < K_STEP * TILE / 4u; i += THREADS) {
            let at_a = load_place(i, !TRANS_A);
            let r = first_row + 4u * at_a.y;
            let ka = k0 + at_a.x;
            tile_a[at_a.x * STRIDE + at_a.y] =
                vec4<f32>(load_a(r, ka), load_a(r + 1u, ka), load_a(r + 2u, ka), load_a(r + 3u, ka));
            let at_b = load_place(i, TRANS_B);
            let c = first_col + 4u * at_b.y;
            let kb = k0 + at_b.x;
            tile_b[at_b.x * STRIDE + at_b.y] =
                vec4<f32>(load_b(kb, c), load_b(kb, c + 1u), load_b(kb, c + 2u), load_b(kb, c + 3u));
        }
        workgroupBarrier();
        for (var k = 0u; k < K_STEP; k++) {
            let top = tile_a[k * STRIDE + 2u * row];
            let bottom = tile_a[k * STRIDE + 2u * row + 1u];
            let right = tile_b[k * STRIDE + col];
            c0 += top.x * right;
            c1 += top.y * right;
            c2 += top.z * right;
            c3 += top.w * right;
            c4 += bottom.x * right;
            c5 += bottom.y * right;
            c6 += bottom.z * right;
            c7 += bottom.w * right;
        }
        workgroupBarrier();
    }

    var tile = array<vec4<f32>, 8>(c0, c1, c2, c3, c4, c5, c6, c7);
    for (var r = 0u; r < 8u; r++) {
        for (var c = 0u; c < 4u; c++) {
            store(first_row + 8u * row + r, first_col + 4u * col + c, tile[r][c]);
        }
    }
}
