//! How `gemm` divides a product among workgroups and their threads.

/// The constants of `shaders/gemm/gemm.wgsl` that a choice sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocking {
    /// Threads along M and N.
    pub threads: [u32; 2],
    /// Vectors of four rows and of four columns that a thread computes.
    pub vectors: [u32; 2],
    /// Vectors of four along K in a step.
    pub depth: u32,
    /// Tiles of either operand in workgroup memory; without any, threads read from storage.
    pub buffers: u32,
}

impl Blocking {
    /// All of them, from the smallest tile to the largest; at last those without workgroup memory.
    pub const ALL: [Self; 12] = [
        Self { threads: [8, 8], vectors: [1, 1], depth: 2, buffers: 2 },
        Self { threads: [16, 16], vectors: [1, 1], depth: 4, buffers: 2 },
        Self { threads: [8, 16], vectors: [2, 1], depth: 2, buffers: 2 },
        Self { threads: [8, 16], vectors: [2, 1], depth: 4, buffers: 2 },
        Self { threads: [8, 8], vectors: [2, 2], depth: 2, buffers: 2 },
        Self { threads: [8, 16], vectors: [2, 2], depth: 2, buffers: 2 },
        Self { threads: [16, 8], vectors: [2, 2], depth: 2, buffers: 2 },
        Self { threads: [16, 16], vectors: [2, 2], depth: 2, buffers: 2 },
        Self { threads: [16, 16], vectors: [2, 2], depth: 4, buffers: 2 },
        Self { threads: [16, 16], vectors: [2, 4], depth: 2, buffers: 2 },
        Self { threads: [8, 8], vectors: [1, 1], depth: 2, buffers: 0 },
        Self { threads: [8, 8], vectors: [2, 2], depth: 2, buffers: 0 },
    ];

    /// Rows and columns of a workgroup's tile.
    pub fn tile(self) -> [usize; 2] {
        let extent = |i: usize| (4 * self.threads[i] * self.vectors[i]) as usize;
        [extent(0), extent(1)]
    }

    /// K that a workgroup takes at once.
    pub fn k_step(self) -> usize {
        4 * self.depth as usize
    }

    /// Vectors of either operand that a thread loads in a step.
    pub fn loads(self) -> [u32; 2] {
        let threads: u32 = self.threads.iter().product();
        self.tile().map(|extent| extent as u32 * self.depth / threads)
    }

    /// Bytes of workgroup memory.
    pub fn workgroup_bytes(self) -> u32 {
        let lines: usize = self.tile().iter().sum();
        self.buffers * 16 * self.depth * lines as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_WORKGROUP_MEMORY;

    #[test]
    fn blockings_fit_their_kernel() {
        for blocking in Blocking::ALL {
            let threads = blocking.threads.iter().product::<u32>();
            assert!(threads <= 256 && threads.is_multiple_of(32), "{blocking:?}");
            // Blocks of 4×8 threads.
            assert!(blocking.threads[0].is_multiple_of(4) && blocking.threads[1].is_multiple_of(8));
            for (extent, loads) in blocking.tile().into_iter().zip(blocking.loads()) {
                assert_eq!(loads * threads, extent as u32 * blocking.depth, "{blocking:?}");
                // `along_k` in the shader exchanges vectors within groups of eight.
                assert!(extent.is_multiple_of(32), "{blocking:?}");
            }
        }
    }

    #[test]
    fn most_blockings_fit_the_default_limits() {
        let fits = |blocking: &&Blocking| blocking.workgroup_bytes() <= DEFAULT_WORKGROUP_MEMORY;
        assert_eq!(Blocking::ALL.iter().filter(fits).count(), Blocking::ALL.len() - 2);
        assert_eq!(Blocking::ALL[7].workgroup_bytes(), DEFAULT_WORKGROUP_MEMORY);
    }
}
