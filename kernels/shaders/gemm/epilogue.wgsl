// What the GEMM kernels share: sizes, the output, and the epilogue of out[M,N] = op(A)·op(B).

struct Params {
    m: u32,
    n: u32,
    k: u32,
    groups_m: u32, // tiles along M
    k_part: u32,   // length of the part of K that one workgroup sums, a multiple of the step; without parts, K or more
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

@group(0) @binding(0) var<uniform> params: Params;
#operand 1 read bias: f32 // [N], with BIAS
#operand 2 read extra: act // [M, N], with RESIDUAL
#operand 3 write out: output // [M, N], with SPLIT [parts, M, N]
#operand 4 write pre: act // [M, N], with PRE

/// Bias of four columns, zero where there is none.
fn bias_of(col: u32) -> vec4<f32> {
    if (BIAS && col < params.n) {
        return load_bias(col, params.n - col);
    }
    return vec4<f32>();
}

/// Epilogue of four neighbouring outputs; those outside out[M,N] are dropped.
fn store(row: u32, col: u32, product: vec4<f32>, bias: vec4<f32>) {
    if (row >= params.m || col >= params.n) {
        return;
    }
    let i = row * params.n + col;
    let rest = params.n - col;
    var v = product;
    if (BIAS) {
        v += bias;
    }
    if (GELU) {
        if (PRE) {
            store_pre(i, rest, v);
        }
        v = vec4<f32>(gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w));
    }
    if (GELU_GRAD) {
        let x = load_out(i, rest);
        v *= vec4<f32>(gelu_grad(x.x), gelu_grad(x.y), gelu_grad(x.z), gelu_grad(x.w));
    }
    if (RESIDUAL) {
        v += load_extra(i, rest);
    }
    if (ACCUMULATE) {
        v += load_out(i, rest);
    }
    store_out(i, rest, v);
}
