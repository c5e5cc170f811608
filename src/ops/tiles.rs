//! How a GPU divides a product: which kernel, and what each workgroup computes.

use crate::kernels::{
    Blocking, ConstantList, CooperativeTile, Division, KernelTarget, ProductShape, Tiling, gemm,
    gemm_cooperative,
};
use crate::program::Recorder;

/// The tiles of one product.
pub(super) struct Tiles {
    shape: ProductShape,
    /// Place in [`Tiling::ALL`].
    tiling: usize,
    /// Rows and columns of the output that a workgroup computes.
    pub extents: [usize; 2],
    /// K that it sums.
    pub k_part: usize,
}

impl Tiles {
    /// As the target divides products of `shape`.
    pub fn choose(rec: &mut Recorder, shape: ProductShape) -> Self {
        rec.note_product(shape);
        let Division { tiling, parts } = rec.target().division(&shape);
        let step = match Tiling::ALL[tiling] {
            Tiling::Blocked(blocking) => blocking.k_step(),
            Tiling::Cooperative(_) => 16,
        };
        let k_part = (shape.sizes[2] as usize).div_ceil(parts).next_multiple_of(step);
        let extents = rec.target().tile(tiling, shape.operands);
        Self { shape, tiling, extents, k_part }
    }

    fn parts(&self) -> usize {
        (self.shape.sizes[2] as usize).div_ceil(self.k_part)
    }

    /// Workgroups of a product of `[M, N, K]`.
    pub fn groups(&self, [m, n, _]: [usize; 3]) -> usize {
        m.div_ceil(self.extents[0]) * n.div_ceil(self.extents[1]) * self.parts()
    }

    /// The shader and its constants for a product that means `meaning`.
    pub fn variant(
        &self,
        target: &KernelTarget,
        meaning: gemm::Constants,
    ) -> (&'static str, Vec<(&'static str, u32)>) {
        let meaning =
            gemm::Constants { split: self.parts() > 1, scalar: !self.shape.is_whole(), ..meaning };
        match Tiling::ALL[self.tiling] {
            Tiling::Blocked(blocking) => ("gemm", self.blocked(blocking, meaning).list()),
            Tiling::Cooperative(tile) => {
                ("gemm_cooperative", self.cooperative(tile, target, meaning).list())
            }
        }
    }

    fn blocked(&self, blocking: Blocking, meaning: gemm::Constants) -> gemm::Constants {
        let Blocking { threads, vectors, depth, buffers } = blocking;
        let loads = blocking.loads();
        gemm::Constants {
            threads_m: threads[0],
            threads_n: threads[1],
            rows: vectors[0],
            cols: vectors[1],
            depth,
            staged: buffers > 0,
            double: buffers > 1,
            loads_a: loads[0],
            loads_b: loads[1],
            ragged: !(self.shape.sizes[2] as usize).is_multiple_of(blocking.k_step()),
            ..meaning
        }
    }

    fn cooperative(
        &self,
        CooperativeTile { subgroups, fragments }: CooperativeTile,
        target: &KernelTarget,
        meaning: gemm::Constants,
    ) -> gemm_cooperative::Constants {
        let matrices = target.cooperative;
        let extent = matrices.extent(self.shape.operands);
        gemm_cooperative::Constants {
            extent: extent.expect("a tiling that is offered"),
            subgroups_m: subgroups[0],
            subgroups_n: subgroups[1],
            rows: fragments[0],
            cols: fragments[1],
            subgroup_size: matrices.subgroup_sizes[1],
            varies: matrices.subgroup_size_varies(),
            ..ConstantList::of(&meaning.list())
        }
    }
}
