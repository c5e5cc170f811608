//! How `gemm` divides a product among workgroups and their threads.

/// How `gemm` divides a product: see the constants in `shaders/gemm/gemm.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocking {
    /// Threads along M and N.
    pub threads: [u32; 2],
    /// Vectors of four rows and of four columns that a thread computes.
    pub vectors: [u32; 2],
}

impl Blocking {
    /// All of them, from the smallest tile to the largest.
    pub const ALL: [Self; 6] = [
        Self { threads: [8, 8], vectors: [1, 1] },
        Self { threads: [16, 16], vectors: [1, 1] },
        Self { threads: [8, 16], vectors: [2, 1] },
        Self { threads: [8, 8], vectors: [2, 2] },
        Self { threads: [8, 16], vectors: [2, 2] },
        Self { threads: [16, 16], vectors: [2, 2] },
    ];

    /// Rows and columns of a workgroup's tile.
    pub fn tile(self) -> [usize; 2] {
        let extent = |i: usize| (4 * self.threads[i] * self.vectors[i]) as usize;
        [extent(0), extent(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blockings_fit_the_default_limits() {
        for blocking in Blocking::ALL {
            let threads = blocking.threads.iter().product::<u32>();
            let [m, n] = blocking.tile();
            assert!(threads <= 256 && 16 * (m + n) * 4 <= 16 << 10, "{blocking:?}");
            // `place` in the shader exchanges vectors within groups of eight.
            assert!(m.is_multiple_of(32) && n.is_multiple_of(32), "{blocking:?}");
        }
    }
}
