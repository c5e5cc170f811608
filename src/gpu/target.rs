//! Which kernels suit a device: its tier, and for GPUs how products are divided.

use super::cooperative::CooperativeMatrices;
use super::precision::Precision;
use super::products::{ProductClass, Products, Tiling};
use super::shaders::Reduction;

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
    /// How matrix products are divided in [`Tier::Gpu`].
    pub products: Products,
    /// Fragments of matrices that its products may use.
    pub cooperative: CooperativeMatrices,
    /// Whether kernels may use subgroups, of [`super::SMALLEST_SUBGROUP`] or more.
    pub subgroups: bool,
}

impl From<Tier> for KernelTarget {
    /// With defaults, and without what not every adapter has.
    fn from(tier: Tier) -> Self {
        Self {
            tier,
            products: Products::default(),
            cooperative: CooperativeMatrices::default(),
            subgroups: false,
        }
    }
}

impl KernelTarget {
    /// How kernels reduce over a workgroup. One of a single SIMD vector needs no barriers anyway.
    pub fn reduction(&self) -> Reduction {
        if self.subgroups && self.tier == Tier::Gpu {
            Reduction::Subgroups
        } else {
            Reduction::Barriers
        }
    }

    /// How products of `class` are divided: as was chosen, or as by default where that takes fragments
    /// that the device does not have.
    pub fn tiling(&self, class: ProductClass) -> Tiling {
        let chosen = self.products.tiling(class);
        if self.offers(chosen, class.operands) { chosen } else { Products::default().tiling(class) }
    }

    /// What products make of cooperative matrices, in words; nothing where there are none.
    pub fn describe_cooperative(&self) -> Option<String> {
        let used = |class: &ProductClass| matches!(self.tiling(*class), Tiling::Cooperative(_));
        self.cooperative.any().then(|| {
            let count = ProductClass::ALL.iter().filter(|class| used(class)).count();
            let (kinds, all) = (self.cooperative.describe(), ProductClass::ALL.len());
            format!("{kinds}, in {count} of {all} kinds of products")
        })
    }

    /// Whether products of `operands` can be divided so.
    pub fn offers(&self, tiling: Tiling, operands: Precision) -> bool {
        match tiling {
            Tiling::Blocked(_) => true,
            Tiling::Cooperative(tile) => tile.fits(self.cooperative, operands),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::ProductLayout;

    #[test]
    fn without_fragments_products_are_blocked() {
        let is_cooperative = |tiling| matches!(tiling, Tiling::Cooperative(_));
        let first = Tiling::ALL.into_iter().position(is_cooperative).expect("a tiling");
        let products = Products::uniform(first);
        let [single, half] = [Precision::F32, Precision::F16]
            .map(|operands| ProductClass::of(operands, ProductLayout::Nt, [8, 8]));
        let mut target = KernelTarget { products, ..Tier::Gpu.into() };
        assert_eq!(target.tiling(half), Products::default().tiling(half));
        target.cooperative.f16 = Some(16);
        target.cooperative.subgroup_sizes = [32, 32];
        assert_eq!(target.tiling(half), Tiling::ALL[first]);
        // Operands in f32 never go through fragments in f16.
        assert_eq!(target.tiling(single), Products::default().tiling(single));
    }
}
