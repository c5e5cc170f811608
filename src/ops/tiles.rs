//! How a GPU divides a product: which kernel, and what each workgroup computes.

use crate::kernels::{Blocking, ConstantList, Division, KernelTarget, ProductShape, Tiling, gemm};
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
        let step = Tiling::ALL[tiling].k_step(shape.operands);
        let k_part = (shape.sizes[2] as usize).div_ceil(parts).next_multiple_of(step);
        let extents = Tiling::ALL[tiling].tile();
        Self { shape, tiling, extents, k_part }
    }

    fn parts(&self) -> usize {
        (self.shape.sizes[2] as usize).div_ceil(self.k_part)
    }

    /// Workgroups of the product.
    pub fn groups(&self, target: &KernelTarget) -> usize {
        target.tiles(self.tiling, &self.shape) * self.parts()
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
                let (matrices, memory) = (target.cooperative, target.workgroup_memory);
                let constants = tile.constants(matrices, self.shape.operands, memory, meaning);
                ("gemm_cooperative", constants.expect("a tiling that is offered").list())
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
}
