//! The products that are measured and checked.

use crate::kernels::{Division, KernelTarget, Precision, ProductLayout, ProductShape, Products};
use crate::ops::gemm::{Epilogue, add_product, gemm};
use crate::ops::product;
use crate::program::{Recorder, Tensor};

/// `target`, which divides `shape` as `division` says.
fn dividing(target: &KernelTarget, shape: ProductShape, division: Division) -> KernelTarget {
    let mut products = Products::default();
    products.choose(shape, division);
    KernelTarget { products, ..target.clone() }
}

/// How the result of a product in a model is kept: gradients of weights are f32 always.
fn output(shape: &ProductShape) -> Precision {
    if shape.layout == ProductLayout::Tn { Precision::F32 } else { shape.operands }
}

fn operands(rec: &mut Recorder, shape: &ProductShape) -> [Tensor; 3] {
    let [m, n, k] = shape.sizes.map(|size| size as usize);
    [("a", shape.operands, m * k), ("b", shape.operands, n * k), ("out", output(shape), m * n)]
        .map(|(label, precision, count)| rec.external_of(precision, label, [count]))
}

/// `repeats` times the product `out [M,N]` of `a` and `b`, the final sum included where workgroups share the sum
/// over K.
pub(crate) fn record_product(
    target: &KernelTarget,
    shape: ProductShape,
    division: Division,
    repeats: usize,
) -> Recorder {
    let mut rec = Recorder::new(dividing(target, shape, division), false);
    let operands = operands(&mut rec, &shape);
    for _ in 0..repeats {
        product(&mut rec, shape.layout, shape.sizes.map(|size| size as usize), operands);
    }
    rec
}

/// A product as it occurs in models, with what happens to it before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing.
    Plain,
    /// A bias.
    Bias,
    /// A bias, then a residual.
    BiasResidual,
    /// A bias, then GELU, what it is computed of kept.
    BiasGelu,
    /// Times GELU's derivative.
    GeluGrad,
    /// Added to what is there.
    Accumulate,
}

impl Ending {
    /// Those that products of a layout have.
    pub(super) fn of(layout: ProductLayout) -> &'static [Self] {
        match layout {
            ProductLayout::Nt => &[Self::Plain, Self::Bias, Self::BiasResidual, Self::BiasGelu],
            ProductLayout::Nn => &[Self::Plain, Self::Bias, Self::Accumulate, Self::GeluGrad],
            ProductLayout::Tn => &[Self::Accumulate],
        }
    }

    /// The epilogue of an output `[M, N]`, with the external tensors `bias`, `extra` and `pre` where it takes them.
    pub fn epilogue(
        self,
        rec: &mut Recorder,
        precision: Precision,
        [m, n]: [usize; 2],
    ) -> Epilogue {
        let has_bias = matches!(self, Self::Bias | Self::BiasResidual | Self::BiasGelu);
        let mut output = |label| rec.external_of(precision, label, [m * n]);
        let residual = (self == Self::BiasResidual).then(|| output("extra"));
        let pre = (self == Self::BiasGelu).then(|| output("pre"));
        Epilogue {
            bias: has_bias.then(|| rec.external("bias", [n])),
            gelu: self == Self::BiasGelu,
            pre,
            gelu_grad: self == Self::GeluGrad,
            residual,
            accumulate: self == Self::Accumulate,
        }
    }
}

/// A product with its ending, of the external tensors `a`, `b`, `bias` and `extra`; it leaves `out`, and with GELU
/// `pre`.
pub(super) fn record_ending(
    target: &KernelTarget,
    shape: ProductShape,
    division: Division,
    ending: Ending,
) -> Recorder {
    let mut rec = Recorder::new(dividing(target, shape, division), false);
    let sizes @ [m, n, _] = shape.sizes.map(|size| size as usize);
    let operands @ [_, _, out] = operands(&mut rec, &shape);
    if shape.layout == ProductLayout::Tn {
        if let Some(parts) = add_product(&mut rec, shape.layout, sizes, operands) {
            crate::ops::add_column_sums(&mut rec, parts, out, None);
        }
        return rec;
    }
    let epilogue = ending.epilogue(&mut rec, shape.operands, [m, n]);
    gemm(&mut rec, shape.layout, sizes, operands, epilogue);
    rec
}
