//! Matrix products: which kernel, how many workgroups.

use crate::kernels::{
    Blocking, ConstantList, CooperativeTile, KernelTarget, Precision, ProductClass, ProductLayout,
    Products, Tiling, gemm, gemm_cooperative,
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
    let kernel = ProductKernel::choose(rec, layout, sizes, operands[0]);
    launch(rec, layout, kernel, sizes, operands, epilogue, 1);
}

/// Records `out[M,N] += op(a) · op(b)`. Where few tiles would leave a GPU idle, workgroups share the
/// sum over K: then the parts `[parts, M·N]` are returned, and are still to be added to `out`.
pub fn add_product(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes @ [m, n, k]: [usize; 3],
    [a, b, out]: [Tensor; 3],
) -> Option<Tensor> {
    let kernel = ProductKernel::choose(rec, layout, sizes, a);
    let wanted = parts_of_k(rec.target(), kernel.groups([m, n]), k);
    let parts = k.div_ceil(k_of_part(k, wanted));
    let epilogue = Epilogue { accumulate: parts == 1, ..Default::default() };
    let partial = (parts > 1).then(|| rec.transient("partial products", [parts, m * n]));
    launch(rec, layout, kernel, sizes, [a, b, partial.unwrap_or(out)], epilogue, parts);
    partial
}

fn launch(
    rec: &mut Recorder,
    layout: ProductLayout,
    kernel: ProductKernel,
    [m, n, k]: [usize; 3],
    [a, b, out]: [Tensor; 3],
    epilogue: Epilogue,
    parts: usize,
) {
    let unused = rec.unused();
    let bindings = gemm::Bindings {
        a,
        b,
        bias: epilogue.bias.unwrap_or(unused),
        extra: epilogue.residual.unwrap_or(unused),
        out,
        pre: epilogue.pre.unwrap_or_else(|| rec.unused_out()),
    };
    let params = gemm::Params {
        m: m as u32,
        n: n as u32,
        k: k as u32,
        groups_m: m.div_ceil(kernel.tile[0]) as u32,
        k_part: k_of_part(k, parts) as u32,
    };
    let meaning = gemm::Constants {
        trans_a: layout == ProductLayout::Tn,
        trans_b: layout == ProductLayout::Nt,
        split: parts > 1,
        bias: epilogue.bias.is_some(),
        gelu: epilogue.gelu,
        pre: epilogue.pre.is_some(),
        gelu_grad: epilogue.gelu_grad,
        residual: epilogue.residual.is_some(),
        accumulate: epilogue.accumulate,
        scalar: kernel.scalar,
        ..Default::default()
    };
    let flops = 2 * m as u64 * n as u64 * k as u64;
    let work = Work { groups: kernel.groups([m, n]) * parts, flops };
    rec.launch_variant(kernel.variant(rec.target(), meaning), params, bindings, work);
}

/// The share of K of each of `parts` parts.
fn k_of_part(k: usize, parts: usize) -> usize {
    k.div_ceil(parts).next_multiple_of(K_STEP)
}

/// K that a workgroup takes at once.
const K_STEP: usize = 16;

/// Into how many parts a sum over `k` is divided, so that a product of few tiles occupies the device.
fn parts_of_k(target: KernelTarget, groups: usize, k: usize) -> usize {
    /// Shorter parts cost more in their final sum than they gain.
    const SHORTEST: usize = 256;
    target.enough_groups().div_ceil(groups).min(k / SHORTEST).max(1)
}

/// A kernel of the family, for one product.
struct ProductKernel {
    tiling: Tiling,
    /// Rows and columns of the output that a workgroup computes.
    tile: [usize; 2],
    /// Whether rows are no whole vectors.
    scalar: bool,
    /// How the operands are kept.
    operands: Precision,
}

impl ProductKernel {
    /// As the target divides products of this class. Fragments take whole vectors only.
    fn choose(rec: &Recorder, layout: ProductLayout, [m, n, k]: [usize; 3], a: Tensor) -> Self {
        let target = rec.target();
        let whole = |sizes: [usize; 2]| sizes.iter().all(|size| size % 4 == 0);
        let scalar = match layout {
            ProductLayout::Nt | ProductLayout::Nn => !whole([n, k]),
            ProductLayout::Tn => !whole([m, n]),
        };
        let class = ProductClass::of(rec.kept_in(a), layout, [m, n]);
        let tiling = if scalar { Products::default().tiling(class) } else { target.tiling(class) };
        let tile = match tiling {
            Tiling::Blocked(blocking) => blocking.tile(),
            Tiling::Cooperative(tile) => tile.tile(extent(target, class.operands)),
        };
        Self { tiling, tile, scalar, operands: class.operands }
    }

    /// Workgroups for an output of `m × n`.
    fn groups(&self, [m, n]: [usize; 2]) -> usize {
        m.div_ceil(self.tile[0]) * n.div_ceil(self.tile[1])
    }

    /// The shader and its constants for a product that means `meaning`.
    fn variant(
        &self,
        target: KernelTarget,
        meaning: gemm::Constants,
    ) -> (&'static str, Vec<(&'static str, u32)>) {
        match self.tiling {
            Tiling::Blocked(Blocking { threads, vectors }) => {
                let constants = gemm::Constants {
                    threads_m: threads[0],
                    threads_n: threads[1],
                    rows: vectors[0],
                    cols: vectors[1],
                    ..meaning
                };
                ("gemm", constants.list())
            }
            Tiling::Cooperative(CooperativeTile { subgroups, fragments }) => {
                let matrices = target.cooperative;
                let constants = gemm_cooperative::Constants {
                    extent: extent(target, self.operands),
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

/// Rows and columns of a fragment.
fn extent(target: KernelTarget, operands: Precision) -> u32 {
    target.cooperative.extent(operands).expect("a tiling that is offered")
}
