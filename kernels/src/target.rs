//! Which kernels suit a device, and how a GPU divides products.

use super::DEFAULT_WORKGROUP_MEMORY;
#[cfg(feature = "gpu")]
use super::attention_form::{AttentionForm, AttentionShape};
use super::cooperative::CooperativeMatrices;
#[cfg(feature = "gpu")]
use super::cooperative_attention;
#[cfg(feature = "gpu")]
use super::product_shape::{ProductLayout, ProductShape};
#[cfg(feature = "gpu")]
use super::products::{Division, Products, Tiling};
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelTarget {
    /// What runs it.
    pub processor: Processor,
    /// How matrix products are divided on a GPU.
    #[cfg(feature = "gpu")]
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
            #[cfg(feature = "gpu")]
            products: Products::default(),
            cooperative: CooperativeMatrices::default(),
            subgroups: false,
            workgroup_memory: DEFAULT_WORKGROUP_MEMORY,
        }
    }
}

impl From<&KernelTarget> for KernelTarget {
    fn from(target: &KernelTarget) -> Self {
        target.clone()
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
}

#[cfg(feature = "gpu")]
impl KernelTarget {
    /// How a product is divided: as was chosen for it, or else like its nearest kin, or else middlingly.
    pub fn division(&self, shape: &ProductShape) -> Division {
        let chosen = self.products.chosen(shape);
        if let Some(chosen) = chosen.filter(|chosen| self.offers(chosen.tiling, shape)) {
            return chosen;
        }
        let mut suitable = self.products.suitable(shape);
        let suitable = suitable.find(|&tiling| self.offers(tiling, shape));
        let tiling = suitable.unwrap_or(Tiling::MIDDLING);
        // The sum of a weight's gradient is long, and the launch that adds up its parts is there for the bias anyway.
        let is_shared = shape.layout == ProductLayout::Tn;
        let parts = if is_shared { self.parts_of_k(tiling, shape) } else { 1 };
        Division { tiling, parts }
    }

    /// Among how many workgroups the sum over K of each tile is shared, so that a product of few tiles occupies the
    /// device.
    pub fn parts_of_k(&self, tiling: usize, shape: &ProductShape) -> usize {
        /// Shorter parts cost more in their final sum than they gain.
        const SHORTEST: usize = 256;
        let longest = (shape.sizes[2] as usize / SHORTEST).max(1);
        self.enough_groups().div_ceil(self.tiles(tiling, shape)).min(longest)
    }

    /// Tiles of the output of a product.
    pub fn tiles(&self, tiling: usize, shape: &ProductShape) -> usize {
        let [tile_m, tile_n] = Tiling::ALL[tiling].tile();
        let [m, n, _] = shape.sizes.map(|size| size as usize);
        m.div_ceil(tile_m) * n.div_ceil(tile_n)
    }

    /// What products make of cooperative matrices, in words; nothing where there are none.
    pub fn describe_cooperative(&self) -> Option<String> {
        let uses = |(_, division): &(&ProductShape, &Division)| {
            matches!(Tiling::ALL[division.tiling], Tiling::Cooperative(_))
        };
        self.cooperative.any().then(|| {
            let (used, all) =
                (self.products.shapes().filter(uses).count(), self.products.shapes().count());
            format!(
                "{}, in {used} of {all} products that were measured",
                self.cooperative.describe()
            )
        })
    }

    /// How attention is computed: as was chosen for it or its nearest kin, where that can be, else by way of workgroup
    /// memory.
    pub fn attention(&self, shape: &AttentionShape) -> AttentionForm {
        let suitable = self.products.suitable_attention(shape);
        suitable.filter(|&form| self.offers_attention(form, shape)).unwrap_or_default()
    }

    /// Whether attention can be computed so.
    pub fn offers_attention(&self, form: AttentionForm, shape: &AttentionShape) -> bool {
        match form {
            AttentionForm::Staged => true,
            AttentionForm::Direct => self.subgroups,
            AttentionForm::Cooperative => {
                let (matrices, memory) = (self.cooperative, self.workgroup_memory);
                let meaning = Default::default();
                cooperative_attention::forward(matrices, shape, memory, &meaning).is_some()
                    && cooperative_attention::backward(matrices, shape, memory, &meaning).is_some()
            }
        }
    }

    /// Whether a product can be divided so, by a tiling's place in [`Tiling::ALL`].
    pub fn offers(&self, tiling: usize, shape: &ProductShape) -> bool {
        match Tiling::ALL[tiling] {
            Tiling::Blocked(blocking) => blocking.workgroup_bytes() <= self.workgroup_memory,
            Tiling::Cooperative(tile) => {
                tile.fits(self.cooperative, shape.operands, self.workgroup_memory)
                    && tile.takes(self.cooperative, shape)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;

    #[test]
    fn without_fragments_products_are_blocked() {
        let is_cooperative = |tiling| matches!(tiling, Tiling::Cooperative(_));
        let first = Tiling::ALL.into_iter().position(is_cooperative).expect("a tiling");
        let [single, half] = [Precision::F32, Precision::F16]
            .map(|operands| ProductShape::new(operands, ProductLayout::Nt, [64, 64, 64]));
        let mut target =
            KernelTarget { products: Products::uniform(first), ..Processor::Gpu.into() };
        assert_eq!(target.division(&half).tiling, Tiling::MIDDLING);
        target.cooperative.f16 = Some(16);
        target.cooperative.subgroup_sizes = [32, 32];
        assert_eq!(target.division(&half).tiling, first);
        // Operands in f32 never go through fragments in f16, nor rows that are no whole vectors through any.
        assert_eq!(target.division(&single).tiling, Tiling::MIDDLING);
        let uneven = ProductShape::new(Precision::F16, ProductLayout::Nt, [64, 63, 64]);
        assert_eq!(target.division(&uneven).tiling, Tiling::MIDDLING);
    }

    #[test]
    fn workgroup_memory_is_kept_to() {
        let shape = ProductShape::new(Precision::F32, ProductLayout::Nt, [512, 512, 512]);
        let needs = |i: usize| match Tiling::ALL[i] {
            Tiling::Blocked(blocking) => blocking.workgroup_bytes(),
            Tiling::Cooperative(_) => 0,
        };
        let most = (0..Tiling::ALL.len()).max_by_key(|&i| needs(i)).expect("a tiling");
        let mut target =
            KernelTarget { products: Products::uniform(most), ..Processor::Gpu.into() };
        assert_eq!(target.division(&shape).tiling, Tiling::MIDDLING);
        target.workgroup_memory = needs(most);
        assert_eq!(target.division(&shape).tiling, most);
    }

    #[test]
    fn few_tiles_share_their_sums() {
        let target = KernelTarget::from(Processor::Gpu);
        let parts = |sizes| {
            let shape = ProductShape::new(Precision::F32, ProductLayout::Tn, sizes);
            target.parts_of_k(Tiling::MIDDLING, &shape)
        };
        assert_eq!(parts([64, 64, 200]), 1);
        assert_eq!(parts([64, 64, 1024]), 4);
        assert_eq!(parts([768, 768, 100_000]), 2);
        assert_eq!(parts([3072, 3072, 100_000]), 1);
        let cpu = KernelTarget::from(Processor::Cpu);
        let shape = ProductShape::new(Precision::F32, ProductLayout::Tn, [64, 64, 4096]);
        assert_eq!(cpu.division(&shape).parts, 1);
    }
}
