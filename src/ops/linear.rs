//! Linear layers and the MLP: `y = x·Wᵀ + b`, with residual and GELU fused into the products.

use super::dropout::{Dropout, drop_some};
use super::gemm::{Epilogue, add_product, gemm};
use super::reduce::{add_column_sums, add_two_column_sums};
use crate::kernels::ProductLayout;
use crate::program::{Recorder, Tensor};

/// `x [.., K] → x·weightᵀ + bias [.., N]` with `weight [N, ..]` of `N·K` values.
pub fn linear(rec: &mut Recorder, x: Tensor, weight: Tensor, bias: Option<Tensor>) -> Tensor {
    record(rec, x, weight, bias, None)
}

/// [`linear`] plus `residual`, which has the output's shape.
pub fn linear_residual(
    rec: &mut Recorder,
    x: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
    residual: Tensor,
) -> Tensor {
    record(rec, x, weight, bias, Some(residual))
}

/// `x [.., K] · basis [K, N] + offset [N]`: sums of the basis' rows, without a gradient.
pub fn combine(rec: &mut Recorder, x: Tensor, basis: Tensor, offset: Tensor) -> Tensor {
    let (m, k) = rec.rows_and_dim(x);
    let (_, n) = rec.rows_and_dim(basis);
    let mut shape = rec.shape(x).to_vec();
    *shape.last_mut().expect("a tensor with a dimension") = n;
    let y = rec.transient_like(x, "combined", shape);
    let epilogue = Epilogue { bias: Some(offset), ..Default::default() };
    gemm(rec, ProductLayout::Nn, [m, n, k], [x, basis, y], epilogue);
    y
}

fn record(
    rec: &mut Recorder,
    x: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
    residual: Option<Tensor>,
) -> Tensor {
    let sizes @ [m, n, k] = sizes(rec, x, weight);
    let mut shape = rec.shape(x).to_vec();
    *shape.last_mut().expect("a tensor with a dimension") = n;
    let y = rec.transient_like(x, "linear", shape);
    let epilogue = Epilogue { bias, residual, ..Default::default() };
    gemm(rec, ProductLayout::Nt, sizes, [x, weight, y], epilogue);
    let inputs: Vec<Tensor> =
        [Some(x), Some(weight), bias, residual].into_iter().flatten().collect();
    rec.on_backward(y, &inputs, move |rec, dy| {
        param_grads(rec, [m, n, k], x, dy, weight, bias);
        input_grad(rec, [m, n, k], x, dy, weight);
        if let Some(residual) = residual {
            rec.add_grad(residual, dy);
        }
    });
    y
}

/// `gelu(x·w1ᵀ + b1)·w2ᵀ + b2`, plus `residual` if there is one; GELU exact. With `dropout` some activations are
/// dropped behind GELU.
pub fn mlp(
    rec: &mut Recorder,
    x: Tensor,
    [w1, b1]: [Tensor; 2],
    [w2, b2]: [Tensor; 2],
    residual: Option<Tensor>,
    dropout: Option<Dropout>,
) -> Tensor {
    let [m, hidden, dim] = sizes(rec, x, w1);
    let mut shape = rec.shape(x).to_vec();
    *shape.last_mut().expect("a tensor with a dimension") = hidden;
    // Nothing but the gradient needs what GELU is computed of.
    let pre = rec.is_differentiated(&[x, w1, b1]);
    let pre = pre.then(|| rec.transient_like(x, "fc1", shape.clone()));
    let activation = rec.transient_like(x, "gelu", shape.clone());
    let epilogue = Epilogue { bias: Some(b1), gelu: true, pre, ..Default::default() };
    gemm(rec, ProductLayout::Nt, [m, hidden, dim], [x, w1, activation], epilogue);
    let activation = dropped(rec, activation, dropout);
    let sizes2 @ [_, out, _] = sizes(rec, activation, w2);
    let mut out_shape = shape;
    *out_shape.last_mut().expect("a tensor with a dimension") = out;
    let y = rec.transient_like(x, "fc2", out_shape);
    let epilogue = Epilogue { bias: Some(b2), residual, ..Default::default() };
    gemm(rec, ProductLayout::Nt, sizes2, [activation, w2, y], epilogue);
    let inputs: Vec<Tensor> = [x, w1, b1, w2, b2].into_iter().chain(residual).collect();
    rec.on_backward(y, &inputs, move |rec, dy| {
        param_grads(rec, sizes2, activation, dy, w2, Some(b2));
        // Where the pre-activation was, which nothing needs any more.
        if let Some(d_pre) = pre {
            let epilogue = Epilogue { gelu_grad: true, ..Default::default() };
            gemm(rec, ProductLayout::Nn, [m, hidden, out], [dy, w2, d_pre], epilogue);
            // The factors of dropout and of GELU's gradient come in either order.
            let d_pre = dropped(rec, d_pre, dropout);
            param_grads(rec, [m, hidden, dim], x, d_pre, w1, Some(b1));
            input_grad(rec, [m, hidden, dim], x, d_pre, w1);
        }
        if let Some(residual) = residual {
            rec.add_grad(residual, dy);
        }
    });
    y
}

/// `x`, some of whose values are dropped if there is `dropout`.
fn dropped(rec: &mut Recorder, x: Tensor, dropout: Option<Dropout>) -> Tensor {
    dropout.map_or(x, |dropout| drop_some(rec, x, dropout))
}

/// `out[M,N] = op(a) · op(b)` alone, for measuring; weight gradients (`Tn`) are added to `out`.
pub fn product(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes: [usize; 3],
    operands: [Tensor; 3],
) {
    if layout == ProductLayout::Tn {
        if let Some(parts) = add_product(rec, layout, sizes, operands) {
            add_column_sums(rec, parts, operands[2], None);
        }
    } else {
        gemm(rec, layout, sizes, operands, Epilogue::default());
    }
}

/// `[M, N, K]` of `x [.., K]` and `weight [N, K]`.
fn sizes(rec: &Recorder, x: Tensor, weight: Tensor) -> [usize; 3] {
    let (m, k) = rec.rows_and_dim(x);
    let n = rec.shape(weight)[0];
    assert_eq!(rec.len(weight), n * k, "a weight of {n} outputs for {k} inputs");
    [m, n, k]
}

fn param_grads(
    rec: &mut Recorder,
    [m, n, k]: [usize; 3],
    x: Tensor,
    dy: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
) {
    let d_bias = bias.and_then(|bias| rec.param_grad(bias));
    let mut sums: Vec<_> = d_bias.map(|d_bias| (dy, d_bias)).into_iter().collect();
    if let Some(d_weight) = rec.param_grad(weight) {
        let parts = add_product(rec, ProductLayout::Tn, [n, k, m], [dy, x, d_weight]);
        sums.extend(parts.map(|parts| (parts, d_weight)));
    }
    match sums[..] {
        [bias, weight] => add_two_column_sums(rec, [bias, weight]),
        [(x, out)] => add_column_sums(rec, x, out, None),
        _ => {}
    }
}

fn input_grad(rec: &mut Recorder, [m, n, k]: [usize; 3], x: Tensor, dy: Tensor, weight: Tensor) {
    if rec.needs_grad(x) {
        let (dx, accumulate) = rec.grad_target(x);
        let epilogue = Epilogue { accumulate, ..Default::default() };
        gemm(rec, ProductLayout::Nn, [m, k, n], [dy, weight, dx], epilogue);
    }
}
