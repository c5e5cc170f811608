//! Which kernels suit a device, and how a GPU divides products.

use super::DEFAULT_WORKGROUP_MEMORY;
use super::cooperative::CooperativeMatrices;
use super::precision::Precision;
use super::products::{ProductClass, Products, Tiling};
use super::shader::Reduction;

/// What runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// The CPU twins.
    Cpu,
    /// The shaders, on whatever adapter.
    Gpu,
}

impl Processor {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Gpu];
}

/// What a program is recorded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTarget {
    /// What runs it.
    pub processor: Processor,
    /// How matrix products are divided on a GPU.
    pub products: Products,
    /// Fragments of matrices that its products may use.
    pub cooperative: CooperativeMatrices,
    /// Whether kernels may use subgroups, of [`SMALLEST_SUBGROUP`] or more.
    pub subgroups: bool,
    /// Bytes of workgroup memory that a kernel may have.
    pub workgroup_memory: u32,
}

/// Smaller subgroups are left aside.
pub const SMALLEST_SUBGROUP: u32 = 4;

impl From<Processor> for KernelTarget {
    /// With defaults, and without what not every adapter has.
    fn from(processor: Processor) -> Self {
        Self {
            processor,
            products: Products::default(),
            cooperative: CooperativeMatrices::default(),
            subgroups: false,
            workgroup_memory: DEFAULT_WORKGROUP_MEMORY,
        }
    }
}

impl KernelTarget {
    /// How kernels reduce over a workgroup.
    pub fn reduction(&self) -> Reduction {
        if self.subgroups { Reduction::Subgroups } else { Reduction::Barriers }
    }

    /// Workgroups that keep the device busy: below that, sums are shared among more.
    pub fn enough_groups(&self) -> usize {
        match self.processor {
            // A twin divides its work itself.
            Processor::Cpu => 1,
            Processor::Gpu => 256,
        }
    }

    /// Rows of which a kernel makes one of several partial sums: short ones keep a GPU busy.
    pub fn rows_per_sum(&self) -> usize {
        match self.processor {
            Processor::Cpu => usize::MAX,
            Processor::Gpu => 128,
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
            Tiling::Cooperative(tile) => {
                tile.fits(self.cooperative, operands, self.workgroup_memory)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProductLayout;

    #[test]
    fn without_fragments_products_are_blocked() {
        let is_cooperative = |tiling| matches!(tiling, Tiling::Cooperative(_));
        let first = Tiling::ALL.into_iter().position(is_cooperative).expect("a tiling");
        let products = Products::uniform(first);
        let [single, half] = [Precision::F32, Precision::F16]
            .map(|operands| ProductClass::of(operands, ProductLayout::Nt, [8, 8]));
        let mut target = KernelTarget { products, ..Processor::Gpu.into() };
        assert_eq!(target.tiling(half), Products::default().tiling(half));
        target.cooperative.f16 = Some(16);
        target.cooperative.subgroup_sizes = [32, 32];
        assert_eq!(target.tiling(half), Tiling::ALL[first]);
        // Operands in f32 never go through fragments in f16.
        assert_eq!(target.tiling(single), Products::default().tiling(single));
    }
}
