//! Matrix products: which kernel, how many workgroups.

use crate::kernels::{
    Blocking, ConstantList, KernelTarget, Precision, ProductClass, ProductLayout, Products, Tiling,
    gemm,
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
    let parts = k.div_ceil(kernel.k_of_part(k, wanted));
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
        k_part: kernel.k_of_part(k, parts) as u32,
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

/// K that a workgroup of `gemm` takes at once.
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
    /// K that it takes at once.
    k_step: usize,
    /// Whether rows are no whole vectors.
    scalar: bool,
    /// How the operands are kept.
    operands: Precision,
}

impl ProductKernel {
    /// As the target divides products of this class, where that takes such sizes.
    fn choose(
        rec: &Recorder,
        layout: ProductLayout,
        sizes @ [m, n, k]: [usize; 3],
        a: Tensor,
    ) -> Self {
        let target = rec.target();
        let whole = |sizes: [usize; 2]| sizes.iter().all(|size| size % 4 == 0);
        let scalar = match layout {
            ProductLayout::Nt | ProductLayout::Nn => !whole([n, k]),
            ProductLayout::Tn => !whole([m, n]),
        };
        let class = ProductClass::of(rec.kept_in(a), layout, [m, n]);
        let operands = class.operands;
        let lines = match layout {
            ProductLayout::Nt => [k, k],
            ProductLayout::Nn => [k, n],
            ProductLayout::Tn => [m, n],
        };
        let tiling = match target.tiling(class) {
            Tiling::Cooperative(tile)
                if scalar || !tile.takes(target.cooperative, operands, sizes, lines) =>
            {
                Products::default().tiling(class)
            }
            tiling => tiling,
        };
        let (tile, k_step) = match tiling {
            Tiling::Blocked(blocking) => (blocking.tile(), K_STEP),
            Tiling::Cooperative(tile) => (tile.tile(), tile.k_step(operands) as usize),
        };
        Self { tiling, tile, k_step, scalar, operands }
    }

    /// The share of K of each of `parts` parts.
    fn k_of_part(&self, k: usize, parts: usize) -> usize {
        k.div_ceil(parts).next_multiple_of(self.k_step)
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
            Tiling::Cooperative(tile) => {
                let KernelTarget { cooperative, workgroup_memory, .. } = target;
                let constants =
                    tile.constants(cooperative, self.operands, workgroup_memory, meaning);
                ("gemm_cooperative", constants.expect("a tiling that is offered").list())
            }
        }
    }
}
