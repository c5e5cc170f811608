//! Matrix products: which kernel, how many workgroups.

#[cfg(feature = "gpu")]
use super::groups_of_lanes;
#[cfg(feature = "gpu")]
use super::tiles::Tiles;
use crate::kernels::{ConstantList, ProductLayout, gemm};
#[cfg(feature = "gpu")]
use crate::kernels::{ProductShape, gemm_sum};
use crate::program::{Recorder, Tensor, Work};

/// What happens to the product before it is stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue {
    /// `[N]`, added to every row.
    pub bias: Option<Tensor>,
    /// Continue with GELU of the value so far.
    pub gelu: bool,
    /// With `gelu`, store in this tensor `[M,N]` what it is computed of.
    pub pre: Option<Tensor>,
    /// Multiply by GELU's derivative at the pre-activation that the output holds.
    pub gelu_grad: bool,
    /// `[M,N]`, added last.
    pub residual: Option<Tensor>,
    /// Add to what the output holds.
    pub accumulate: bool,
}

/// Records `out[M,N] = op(a) · op(b)` with an epilogue.
pub fn gemm(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes: [usize; 3],
    operands: [Tensor; 3],
    epilogue: Epilogue,
) {
    let product = Product::new(rec, layout, sizes, operands);
    #[cfg(feature = "gpu")]
    if let Some(parts) = product.parts(rec) {
        return product.finish(rec, parts, epilogue);
    }
    product.launch(rec, product.out, epilogue);
}

/// Records `out[M,N] += op(a) · op(b)`. Where few tiles would leave a GPU idle, workgroups share the
/// sum over K: then the parts `[parts, M·N]` are returned, and are still to be added to `out`.
pub fn add_product(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes: [usize; 3],
    operands: [Tensor; 3],
) -> Option<Tensor> {
    let product = Product::new(rec, layout, sizes, operands);
    #[cfg(feature = "gpu")]
    if let Some(parts) = product.parts(rec) {
        return Some(parts);
    }
    product.launch(rec, product.out, Epilogue { accumulate: true, ..Default::default() });
    None
}

/// A product to be launched.
struct Product {
    layout: ProductLayout,
    /// `[M, N, K]`.
    sizes: [usize; 3],
    a: Tensor,
    b: Tensor,
    out: Tensor,
    #[cfg(feature = "gpu")]
    tiles: Tiles,
}

impl Product {
    /// As the target divides products of this shape.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "twins divide their work"))]
    fn new(
        rec: &mut Recorder,
        layout: ProductLayout,
        sizes: [usize; 3],
        [a, b, out]: [Tensor; 3],
    ) -> Self {
        Self {
            layout,
            sizes,
            a,
            b,
            out,
            #[cfg(feature = "gpu")]
            tiles: Tiles::choose(rec, ProductShape::new(rec.kept_in(a), layout, sizes)),
        }
    }

    /// Launches the parts of the sum `[parts, M·N]`, if there are several.
    #[cfg(feature = "gpu")]
    fn parts(&self, rec: &mut Recorder) -> Option<Tensor> {
        let [m, n, k] = self.sizes;
        let parts = k.div_ceil(self.tiles.k_part);
        (parts > 1).then(|| {
            let partial = rec.transient("partial products", [parts, m * n]);
            self.launch(rec, partial, Epilogue::default());
            partial
        })
    }

    /// Adds up the parts of the sum.
    #[cfg(feature = "gpu")]
    fn finish(&self, rec: &mut Recorder, parts: Tensor, epilogue: Epilogue) {
        let [m, n, _] = self.sizes;
        let (bias, extra, pre) = tensors(rec, epilogue);
        let bindings = gemm_sum::Bindings { parts, bias, extra, out: self.out, pre };
        let constants = gemm_sum::Constants {
            scalar: !n.is_multiple_of(4),
            ..ConstantList::of(&self.meaning(epilogue).list())
        };
        rec.launch(self.params(), constants, bindings, groups_of_lanes(m * n.div_ceil(4)));
    }

    fn launch(&self, rec: &mut Recorder, out: Tensor, epilogue: Epilogue) {
        let (bias, extra, pre) = tensors(rec, epilogue);
        let bindings = gemm::Bindings { a: self.a, b: self.b, bias, extra, out, pre };
        let meaning = self.meaning(epilogue);
        #[cfg(feature = "gpu")]
        let (variant, groups) =
            (self.tiles.variant(rec.target(), meaning), self.tiles.groups(rec.target()));
        // Twins divide their work themselves.
        #[cfg(not(feature = "gpu"))]
        let (variant, groups) = (("gemm", meaning.list()), 1);
        let flops = 2 * self.sizes.iter().map(|&size| size as u64).product::<u64>();
        rec.launch_variant(variant, self.params(), bindings, Work { groups, flops });
    }

    fn params(&self) -> gemm::Params {
        let [m, n, k] = self.sizes.map(|size| size as u32);
        #[cfg(feature = "gpu")]
        let (groups_m, k_part) =
            (m.div_ceil(self.tiles.extents[0] as u32), self.tiles.k_part as u32);
        #[cfg(not(feature = "gpu"))]
        let (groups_m, k_part) = (1, k);
        gemm::Params { m, n, k, groups_m, k_part }
    }

    /// What is computed, whatever the kernel.
    fn meaning(&self, epilogue: Epilogue) -> gemm::Constants {
        gemm::Constants {
            trans_a: self.layout == ProductLayout::Tn,
            trans_b: self.layout == ProductLayout::Nt,
            bias: epilogue.bias.is_some(),
            gelu: epilogue.gelu,
            pre: epilogue.pre.is_some(),
            gelu_grad: epilogue.gelu_grad,
            residual: epilogue.residual.is_some(),
            accumulate: epilogue.accumulate,
            ..Default::default()
        }
    }
}

/// Bias, residual and what GELU is computed of, or what stands for them.
fn tensors(rec: &mut Recorder, epilogue: Epilogue) -> (Tensor, Tensor, Tensor) {
    let unused = rec.unused();
    (
        epilogue.bias.unwrap_or(unused),
        epilogue.residual.unwrap_or(unused),
        epilogue.pre.unwrap_or_else(|| rec.unused_out()),
    )
}
