//! Which kernels suit a device: its tier, and for GPUs the tiles of matrix products.

use serde::{Deserialize, Serialize};

/// Which kernels suit an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// A software driver: SIMD over few lanes, no cheap barriers.
    Cpu,
    /// A software driver that reads textures many times faster than storage buffers (Mesa's
    /// llvmpipe).
    CpuTextures,
    /// Anything else.
    Gpu,
}

impl Tier {
    /// All of them; every kernel of every tier runs on every adapter.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::CpuTextures, Self::Gpu];

    /// Whether the adapter is a processor.
    pub fn is_cpu(self) -> bool {
        self != Self::Gpu
    }

    pub(super) fn of(info: &wgpu::AdapterInfo) -> Self {
        match info.device_type {
            wgpu::DeviceType::Cpu if info.name.contains("llvmpipe") => Self::CpuTextures,
            wgpu::DeviceType::Cpu => Self::Cpu,
            _ => Self::Gpu,
        }
    }
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cpu-textures" => Ok(Self::CpuTextures),
            "gpu" => Ok(Self::Gpu),
            other => Err(format!("there is no tier {other:?}: cpu, cpu-textures or gpu")),
        }
    }
}

/// What a program is recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTarget {
    /// The family of kernels.
    pub tier: Tier,
    /// Tiles of matrix products in [`Tier::Gpu`].
    pub products: Products,
    /// Whether kernels may use subgroups, of [`super::SMALLEST_SUBGROUP`] or more.
    pub subgroups: bool,
}

impl From<Tier> for KernelTarget {
    /// With defaults, and without what not every adapter has.
    fn from(tier: Tier) -> Self {
        Self { tier, products: Products::default(), subgroups: false }
    }
}

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
    /// How the operands lie.
    pub layout: ProductLayout,
    /// Whether the output is large enough to fill a GPU with the largest tiles.
    pub large: bool,
}

impl ProductClass {
    /// All of them, in the order of [`Products`].
    pub const ALL: [Self; 6] = {
        const fn of(layout: ProductLayout, large: bool) -> ProductClass {
            ProductClass { layout, large }
        }
        [
            of(ProductLayout::Nt, false),
            of(ProductLayout::Nt, true),
            of(ProductLayout::Nn, false),
            of(ProductLayout::Nn, true),
            of(ProductLayout::Tn, false),
            of(ProductLayout::Tn, true),
        ]
    };

    /// The class of products with an output of `m × n`.
    pub fn of(layout: ProductLayout, [m, n]: [usize; 2]) -> Self {
        /// 64 tiles of 128×128.
        const LARGE: usize = 64 * 128 * 128;
        Self { layout, large: m * n >= LARGE }
    }

    fn index(self) -> usize {
        2 * self.layout as usize + usize::from(self.large)
    }
}

/// How `gemm_blocked` divides a product: see the constants in `shaders/gemm_blocked.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocking {
    /// Threads along M and N.
    pub threads: [u32; 2],
    /// Vectors of four rows and of four columns that a thread computes.
    pub vectors: [u32; 2],
}

impl Blocking {
    /// From the smallest tile to the largest. All fit WebGPU's default limits: 256 threads, 16 KiB.
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

/// The blocking of each class of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u8; 6]", into = "[u8; 6]")]
pub struct Products([u8; ProductClass::ALL.len()]);

impl Products {
    /// The same blocking, by its number in [`Blocking::ALL`], for every class.
    pub fn uniform(blocking: usize) -> Self {
        Self([blocking as u8; ProductClass::ALL.len()])
    }

    /// The blocking of a class.
    pub fn blocking(&self, class: ProductClass) -> Blocking {
        Blocking::ALL[usize::from(self.0[class.index()])]
    }

    /// Chooses a blocking by its number in [`Blocking::ALL`].
    pub fn set(&mut self, class: ProductClass, blocking: usize) {
        self.0[class.index()] = blocking as u8;
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
        match numbers.iter().find(|&&number| usize::from(number) >= Blocking::ALL.len()) {
            Some(number) => Err(format!("there is no blocking {number}")),
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
        for blocking in Blocking::ALL {
            let threads = blocking.threads.iter().product::<u32>();
            let [m, n] = blocking.tile();
            assert!(threads <= 256 && 16 * (m + n) * 4 <= 16 << 10, "{blocking:?}");
            // `place` in the shader exchanges vectors within groups of eight.
            assert!(m.is_multiple_of(32) && n.is_multiple_of(32), "{blocking:?}");
        }
    }

    #[test]
    fn foreign_numbers_are_refused() {
        let products: Products = serde_json::from_str("[0,1,2,3,4,5]").unwrap();
        assert_eq!(serde_json::to_string(&products).unwrap(), "[0,1,2,3,4,5]");
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,6]").is_err());
        assert!(serde_json::from_str::<Products>("[0,1,2]").is_err());
    }
}
