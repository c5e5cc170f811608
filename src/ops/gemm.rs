//! Matrix products: which kernel, how many workgroups.

use super::groups_of_lanes;
use crate::kernels::{
    Blocking, ConstantList, CooperativeTile, Division, KernelTarget, ProductLayout, ProductShape,
    Tiling, gemm, gemm_cooperative, gemm_sum,
};
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
    match product.parts(rec) {
        Some(parts) => product.finish(rec, parts, epilogue),
        None => product.launch(rec, product.out, epilogue),
    }
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
    let parts = product.parts(rec);
    if parts.is_none() {
        let epilogue = Epilogue { accumulate: true, ..Default::default() };
        product.launch(rec, product.out, epilogue);
    }
    parts
}

/// A product and how it is divided.
struct Product {
    shape: ProductShape,
    tiling: usize,
    /// Rows and columns of the output that a workgroup computes.
    tile: [usize; 2],
    /// K that it sums.
    k_part: usize,
    a: Tensor,
    b: Tensor,
    out: Tensor,
}

impl Product {
    /// As the target divides products of this shape.
    fn new(
        rec: &mut Recorder,
        layout: ProductLayout,
        sizes @ [_, _, k]: [usize; 3],
        [a, b, out]: [Tensor; 3],
    ) -> Self {
        let shape = ProductShape::new(rec.kept_in(a), layout, sizes);
        let Division { tiling, parts } = rec.target().division(&shape);
        rec.note_product(shape);
        let step = match Tiling::ALL[tiling] {
            Tiling::Blocked(blocking) => blocking.k_step(),
            Tiling::Cooperative(_) => 16,
        };
        let k_part = k.div_ceil(parts).next_multiple_of(step);
        let tile = rec.target().tile(tiling, shape.operands);
        Self { shape, tiling, tile, k_part, a, b, out }
    }

    fn sizes(&self) -> [usize; 3] {
        self.shape.sizes.map(|size| size as usize)
    }

    /// Launches the parts of the sum `[parts, M·N]`, if there are several.
    fn parts(&self, rec: &mut Recorder) -> Option<Tensor> {
        let [m, n, k] = self.sizes();
        let parts = k.div_ceil(self.k_part);
        (parts > 1).then(|| {
            let partial = rec.transient("partial products", [parts, m * n]);
            self.launch(rec, partial, Epilogue::default());
            partial
        })
    }

    /// Adds up the parts of the sum.
    fn finish(&self, rec: &mut Recorder, parts: Tensor, epilogue: Epilogue) {
        let [m, n, _] = self.sizes();
        let (bias, extra, pre) = tensors(rec, epilogue);
        let bindings = gemm_sum::Bindings { parts, bias, extra, out: self.out, pre };
        let constants: gemm_sum::Constants = ConstantList::of(&self.meaning(epilogue).list());
        let groups = groups_of_lanes(m * n.div_ceil(4));
        rec.launch(self.params(), constants, bindings, groups);
    }

    fn launch(&self, rec: &mut Recorder, out: Tensor, epilogue: Epilogue) {
        let [m, n, k] = self.sizes();
        let parts = k.div_ceil(self.k_part);
        let (bias, extra, pre) = tensors(rec, epilogue);
        let bindings = gemm::Bindings { a: self.a, b: self.b, bias, extra, out, pre };
        let meaning = gemm::Constants { split: parts > 1, ..self.meaning(epilogue) };
        let tiles = m.div_ceil(self.tile[0]) * n.div_ceil(self.tile[1]);
        let work = Work { groups: tiles * parts, flops: self.shape.flops() };
        rec.launch_variant(self.variant(rec.target(), meaning), self.params(), bindings, work);
    }

    fn params(&self) -> gemm::Params {
        let [m, n, k] = self.shape.sizes;
        let groups_m = m.div_ceil(self.tile[0] as u32);
        gemm::Params { m, n, k, groups_m, k_part: self.k_part as u32 }
    }

    /// What is computed, whatever the kernel.
    fn meaning(&self, epilogue: Epilogue) -> gemm::Constants {
        gemm::Constants {
            trans_a: self.shape.layout == ProductLayout::Tn,
            trans_b: self.shape.layout == ProductLayout::Nt,
            bias: epilogue.bias.is_some(),
            gelu: epilogue.gelu,
            pre: epilogue.pre.is_some(),
            gelu_grad: epilogue.gelu_grad,
            residual: epilogue.residual.is_some(),
            accumulate: epilogue.accumulate,
            scalar: !self.shape.is_whole(),
            ..Default::default()
        }
    }

    /// The shader and its constants for a product that means `meaning`.
    fn variant(
        &self,
        target: &KernelTarget,
        meaning: gemm::Constants,
    ) -> (&'static str, Vec<(&'static str, u32)>) {
        match Tiling::ALL[self.tiling] {
            Tiling::Blocked(blocking) => {
                let Blocking { threads, vectors, depth, buffers } = blocking;
                let loads = blocking.loads();
                let constants = gemm::Constants {
                    threads_m: threads[0],
                    threads_n: threads[1],
                    rows: vectors[0],
                    cols: vectors[1],
                    depth,
                    staged: buffers > 0,
                    double: buffers > 1,
                    loads_a: loads[0],
                    loads_b: loads[1],
                    ragged: !self.sizes()[2].is_multiple_of(blocking.k_step()),
                    ..meaning
                };
                ("gemm", constants.list())
            }
            Tiling::Cooperative(CooperativeTile { subgroups, fragments }) => {
                let matrices = target.cooperative;
                let extent = matrices.extent(self.shape.operands);
                let constants = gemm_cooperative::Constants {
                    extent: extent.expect("a tiling that is offered"),
                    subgroups_m: subgroups[0],
                    subgroups_n: subgroups[1],
                    rows: fragments[0],
                    cols: fragments[1],
                    subgroup_size: matrices.subgroup_sizes[1],
                    varies: matrices.subgroup_size_varies(),
                    ..ConstantList::of(&meaning.list())
                };
                ("gemm_cooperative", constants.list())
            }
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
