//! Cooperative matrices (tensor cores): the fragments that kernels multiply.

use super::Precision;

/// The fragments of matrices that subgroups of an adapter multiply, with sums in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
pub struct CooperativeMatrices {
    /// Rows and columns of fragments whose operands are in f32.
    pub f32: Option<u32>,
    /// Rows and columns of fragments whose operands are in f16.
    pub f16: Option<u32>,
    /// The fewest and the most invocations that a subgroup has.
    pub subgroup_sizes: [u32; 2],
}

impl CooperativeMatrices {
    /// Rows and columns of fragments whose operands are kept in `precision`, if there are such.
    pub fn extent(self, precision: Precision) -> Option<u32> {
        match precision {
            Precision::F32 => self.f32,
            Precision::F16 => self.f16,
        }
    }

    /// Whether subgroups of a kernel may have one of several sizes.
    pub fn subgroup_size_varies(self) -> bool {
        self.subgroup_sizes[0] != self.subgroup_sizes[1]
    }

    /// Which fragments there are, in words.
    pub fn describe(self) -> String {
        let kinds = [("f16", self.f16), ("f32", self.f32)];
        let kinds = kinds.map(|(name, extent)| extent.map(|n| format!("{name} {n}×{n}")));
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    }

    /// Whether there are fragments of any kind.
    pub fn any(self) -> bool {
        self.f32.is_some() || self.f16.is_some()
    }
}

/// How `gemm_cooperative` divides a product: see `shaders/gemm/gemm_cooperative.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CooperativeTile {
    /// Subgroups along M and N.
    pub subgroups: [u32; 2],
    /// Rows and columns of fragments that a subgroup computes.
    pub fragments: [u32; 2],
}

impl CooperativeTile {
    /// All of them, from the smallest tile to the largest.
    pub const ALL: [Self; 3] = [
        Self { subgroups: [2, 2], fragments: [2, 2] },
        Self { subgroups: [2, 2], fragments: [4, 2] },
        Self { subgroups: [2, 2], fragments: [4, 4] },
    ];

    /// Rows and columns of a workgroup's tile with fragments of `extent × extent`.
    pub fn tile(self, extent: u32) -> [usize; 2] {
        let side = |i: usize| (self.subgroups[i] * self.fragments[i] * extent) as usize;
        [side(0), side(1)]
    }

    /// Whether WebGPU's default limits hold with the fragments of `matrices` for these `operands`; not
    /// where there are none.
    pub fn fits(self, matrices: CooperativeMatrices, operands: Precision) -> bool {
        /// K of a shared tile, and the gap behind it.
        const DEPTH: usize = 16 + 8;
        let Some(extent) = matrices.extent(operands) else { return false };
        let subgroups: u32 = self.subgroups.iter().product();
        let places = subgroups + u32::from(matrices.subgroup_size_varies());
        let values = DEPTH * self.tile(extent).iter().sum::<usize>();
        let shared = operands.bytes() * values as u64 + u64::from(4 * places * extent * extent);
        subgroups * matrices.subgroup_sizes[1] <= 256 && shared <= 16 << 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooperative_tiles_fit_the_default_limits() {
        let [single, half] = [Precision::F32, Precision::F16];
        // Fragments of 16 for f16 only, or of 8 for both.
        let nvidia = CooperativeMatrices { f32: None, f16: Some(16), subgroup_sizes: [32, 32] };
        let apple = CooperativeMatrices { f32: Some(8), f16: Some(8), subgroup_sizes: [32, 32] };
        let amd = CooperativeMatrices { subgroup_sizes: [32, 64], ..nvidia };
        let wide = CooperativeMatrices { subgroup_sizes: [128, 128], ..nvidia };
        for tile in CooperativeTile::ALL {
            for (matrices, operands) in [(nvidia, half), (apple, single), (apple, half)] {
                assert!(tile.fits(matrices, operands), "{tile:?} {matrices:?} {operands:?}");
            }
            // The largest leaves no room for the sums of more subgroups.
            assert_eq!(tile.fits(amd, half), tile.fragments != [4, 4], "{tile:?}");
            assert!(!tile.fits(nvidia, single), "there are none for f32");
            assert!(!tile.fits(wide, half), "512 invocations");
            // `c` and `b` in the shader.
            assert!(tile.fragments.iter().all(|&count| count <= 4), "{tile:?}");
        }
    }
}
