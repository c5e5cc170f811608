// What the direct GEMM kernels share: out[M,N] = op(A)·op(B), then the epilogue.
// For drivers that run shaders on the CPU: no workgroup memory and no barriers; every invocation
// owns a tile of TILE_ROWS rows × 2 vec4 columns in named accumulators, so that a loaded value is
// used as often as possible. A workgroup is eight such tiles, which need not be neighbours:
// the list of tiles has no gaps whatever M and N are.

struct Dims {
    m: u32,
    n: u32,
    k: u32,
    /// Tiles along M: ceil(m / TILE_ROWS).
    groups_m: u32,
}

/// Adds bias[n].
override BIAS: bool = false;
/// Stores the value so far to `pre` and continues with its GELU.
override GELU: bool = false;
/// Multiplies by gelu'(extra): `extra` is the pre-activation saved by the forward pass.
override GELU_GRAD: bool = false;
/// Adds `extra`.
override RESIDUAL: bool = false;
/// Adds to `out` instead of replacing it.
override ACCUMULATE: bool = false;

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<output4>;
@group(0) @binding(6) var<storage, read_write> pre: array<act4>;

/// First row and first vec4 column of a tile; the row lies past M for tiles past the end.
/// Panels eight tiles wide go down all rows before the next panel: its part of B stays in cache.
fn tile_origin(tile: u32, tile_rows: u32) -> vec2<u32> {
    let tiles_n = (dims.n + 7u) / 8u;
    let panel = tile / (8u * dims.groups_m);
    if (panel * 8u >= tiles_n) {
        return vec2<u32>(dims.m, 0u);
    }
    let width = min(8u, tiles_n - panel * 8u);
    let local = tile - panel * 8u * dims.groups_m;
    return vec2<u32>(local / width * tile_rows, (panel * 8u + local % width) * 2u);
}

/// bias[4·col ..], zero where there is none.
fn load_bias(col: u32) -> vec4<f32> {
    if (BIAS && col < dims.n / 4u) {
        return bias[col];
    }
    return vec4<f32>();
}

/// Epilogue of four neighbouring outputs; those outside out[M,N] are dropped.
fn store(row: u32, col: u32, product: vec4<f32>, bias_col: vec4<f32>) {
    if (row >= dims.m || col >= dims.n / 4u) {
        return;
    }
    let i = row * (dims.n / 4u) + col;
    var v = product;
    if (BIAS) {
        v += bias_col;
    }
    if (GELU) {
        pre[i] = act4(v);
        v = vec4<f32>(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
    }
    if (GELU_GRAD) {
        let x = load_extra(i);
        v *= vec4<f32>(gelu_grad(x.x), gelu_grad(x.y), gelu_grad(x.z), gelu_grad(x.w));
    }
    if (RESIDUAL) {
        v += load_extra(i);
    }
    if (ACCUMULATE) {
        v += vec4<f32>(out[i]);
    }
    out[i] = output4(v);
}
