// What the GEMM kernels for whole vectors share: sizes, bindings, and the epilogue of
// out[M,N] = op(A)·op(B).

struct Dims {
    m: u32,
    n: u32,
    k: u32,
    /// Tiles along M.
    groups_m: u32,
    /// Length of the part of K that one workgroup sums, a multiple of 16; without parts, K or more.
    k_part: u32,
}

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
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<output4>;
@group(0) @binding(6) var<storage, read_write> pre: array<act4>;

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
        if (PRE) {
            pre[i] = to_act4(v);
        }
        v = vec4<f32>(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
    }
    if (GELU_GRAD) {
        let x = load_out(i);
        v *= vec4<f32>(gelu_grad(x.x), gelu_grad(x.y), gelu_grad(x.z), gelu_grad(x.w));
    }
    if (RESIDUAL) {
        v += load_extra(i);
    }
    if (ACCUMULATE) {
        v += load_out(i);
    }
    out[i] = to_output4(v);
}
