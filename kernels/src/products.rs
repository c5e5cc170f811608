//! Matrix products: which ones are alike, and how each kind is divided among workgroups.

use serde::{Deserialize, Serialize};

use super::cooperative::CooperativeMatrices;
use super::precision::Precision;

/// Which operand of a matrix product is transposed. All matrices are row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductLayout {
    /// `A[M,K] · B[N,K]ᵀ`: a linear layer's forward pass.
    Nt,
    /// `A[M,K] · B[K,N]`: its input gradient.
    Nn,
    /// `A[K,M]ᵀ · B[K,N]`: its weight gradient.
    Tn,
}

/// Products for which the same tiles are best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductClass {
    /// How the operands are kept.
    pub operands: Precision,
    /// How they lie.
    pub layout: ProductLayout,
    /// Whether the output is large enough to fill a GPU with the largest tiles.
    pub large: bool,
}

impl ProductClass {
    /// All of them, in the order of [`Products`].
    pub const ALL: [Self; 12] = {
        use Precision::{F16, F32};
        use ProductLayout::{Nn, Nt, Tn};
        const fn of(operands: Precision, layout: ProductLayout, large: bool) -> ProductClass {
            ProductClass { operands, layout, large }
        }
        [
            of(F32, Nt, false),
            of(F32, Nt, true),
            of(F32, Nn, false),
            of(F32, Nn, true),
            of(F32, Tn, false),
            of(F32, Tn, true),
            of(F16, Nt, false),
            of(F16, Nt, true),
            of(F16, Nn, false),
            of(F16, Nn, true),
            of(F16, Tn, false),
            of(F16, Tn, true),
        ]
    };

    /// The class of products with an output of `m × n`.
    pub fn of(operands: Precision, layout: ProductLayout, [m, n]: [usize; 2]) -> Self {
        /// 64 tiles of 128×128.
        const LARGE: usize = 64 * 128 * 128;
        Self { operands, layout, large: m * n >= LARGE }
    }

    fn index(self) -> usize {
        6 * self.operands as usize + 2 * self.layout as usize + usize::from(self.large)
    }
}

/// How `gemm` divides a product: see the constants in `shaders/gemm/gemm.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocking {
    /// Threads along M and N.
    pub threads: [u32; 2],
    /// Vectors of four rows and of four columns that a thread computes.
    pub vectors: [u32; 2],
}

impl Blocking {
    /// Rows and columns of a workgroup's tile.
    pub fn tile(self) -> [usize; 2] {
        let extent = |i: usize| (4 * self.threads[i] * self.vectors[i]) as usize;
        [extent(0), extent(1)]
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

/// How a product is divided among workgroups, and by that which kernel computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tiling {
    /// `gemm`, on every GPU.
    Blocked(Blocking),
    /// `gemm_cooperative`, where there are cooperative matrices.
    Cooperative(CooperativeTile),
}

impl Tiling {
    /// All of them, either kind from the smallest tile to the largest.
    pub const ALL: [Self; 9] = [
        Self::Blocked(Blocking { threads: [8, 8], vectors: [1, 1] }),
        Self::Blocked(Blocking { threads: [16, 16], vectors: [1, 1] }),
        Self::Blocked(Blocking { threads: [8, 16], vectors: [2, 1] }),
        Self::Blocked(Blocking { threads: [8, 8], vectors: [2, 2] }),
        Self::Blocked(Blocking { threads: [8, 16], vectors: [2, 2] }),
        Self::Blocked(Blocking { threads: [16, 16], vectors: [2, 2] }),
        Self::Cooperative(CooperativeTile { subgroups: [2, 2], fragments: [2, 2] }),
        Self::Cooperative(CooperativeTile { subgroups: [2, 2], fragments: [4, 2] }),
        Self::Cooperative(CooperativeTile { subgroups: [2, 2], fragments: [4, 4] }),
    ];
}

/// The tiling of each class of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u8; 12]", into = "[u8; 12]")]
pub struct Products([u8; ProductClass::ALL.len()]);

impl Products {
    /// The same tiling, by its number in [`Tiling::ALL`], for every class.
    pub fn uniform(tiling: usize) -> Self {
        Self([tiling as u8; ProductClass::ALL.len()])
    }

    /// The tiling of a class; see [`super::KernelTarget::tiling`] for what a device makes of it.
    pub fn tiling(&self, class: ProductClass) -> Tiling {
        Tiling::ALL[self.number(class)]
    }

    /// Its number in [`Tiling::ALL`].
    pub fn number(&self, class: ProductClass) -> usize {
        usize::from(self.0[class.index()])
    }

    /// Chooses a tiling by its number in [`Tiling::ALL`].
    pub fn set(&mut self, class: ProductClass, tiling: usize) {
        self.0[class.index()] = tiling as u8;
    }
}

impl Default for Products {
    /// Tiles of 64×64 with 8×4 values a thread: middling on every GPU.
    fn default() -> Self {
        Self::uniform(2)
    }
}

impl From<Products> for [u8; ProductClass::ALL.len()] {
    fn from(products: Products) -> Self {
        products.0
    }
}

impl TryFrom<[u8; ProductClass::ALL.len()]> for Products {
    type Error = String;

    fn try_from(numbers: [u8; ProductClass::ALL.len()]) -> Result<Self, String> {
        match numbers.iter().find(|&&number| usize::from(number) >= Tiling::ALL.len()) {
            Some(number) => Err(format!("there is no tiling {number}")),
            None => Ok(Self(numbers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_numbered_in_order() {
        for (i, class) in ProductClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), i);
        }
    }

    #[test]
    fn blockings_fit_the_default_limits() {
        for tiling in Tiling::ALL {
            let Tiling::Blocked(blocking) = tiling else { continue };
            let threads = blocking.threads.iter().product::<u32>();
            let [m, n] = blocking.tile();
            assert!(threads <= 256 && 16 * (m + n) * 4 <= 16 << 10, "{blocking:?}");
            // `place` in the shader exchanges vectors within groups of eight.
            assert!(m.is_multiple_of(32) && n.is_multiple_of(32), "{blocking:?}");
        }
    }

    #[test]
    fn cooperative_tiles_fit_the_default_limits() {
        let [single, half] = [Precision::F32, Precision::F16];
        // Fragments of 16 for f16 only, or of 8 for both.
        let nvidia = CooperativeMatrices { f32: None, f16: Some(16), subgroup_sizes: [32, 32] };
        let apple = CooperativeMatrices { f32: Some(8), f16: Some(8), subgroup_sizes: [32, 32] };
        let amd = CooperativeMatrices { subgroup_sizes: [32, 64], ..nvidia };
        let wide = CooperativeMatrices { subgroup_sizes: [128, 128], ..nvidia };
        for tiling in Tiling::ALL {
            let Tiling::Cooperative(tile) = tiling else { continue };
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

    #[test]
    fn foreign_numbers_are_refused() {
        let text = "[0,1,2,3,4,5,6,7,8,0,0,0]";
        let products: Products = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&products).unwrap(), text);
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,5,6,7,8,9,0,0]").is_err());
        // As they were kept before operands in f16 had classes of their own.
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,5]").is_err());
    }
}
