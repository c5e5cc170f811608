//! The table of kernels that `build.rs` makes from `shaders/`.

use super::KernelKey;
use super::precision::{Precision, Types};
use super::unroll::unroll;

/// One kernel: a WGSL file with its includes.
#[derive(Debug)]
pub struct Shader {
    /// File name without its ending.
    pub name: &'static str,
    /// Language extensions, to be put in front of everything.
    enables: &'static str,
    /// Whether it reduces over a workgroup, and so comes in either [`Reduction`].
    pub reduces: bool,
    /// Whether an invocation writes no more than what it has read: what it reads as a texture may be the
    /// memory that it writes.
    pub in_place: bool,
    /// WGSL without comments, to be put behind the element types; see [`Self::text`].
    source: &'static str,
    /// Whether it uses subgroups.
    subgroups: bool,
    /// Names of the numbers that a launch may choose for what the text repeats.
    counts: &'static [&'static str],
    /// How each binding from 1 on is accessed. Binding 0 is the uniform.
    pub bindings: &'static [Access],
    /// What each of them holds.
    pub elements: &'static [Element],
}

/// How a kernel reduces over a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Reduction {
    /// As a tree in workgroup memory, on every adapter.
    #[default]
    Barriers,
    /// By way of subgroups, where the adapter has such operations.
    Subgroups,
}

/// How a kernel accesses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written, perhaps read too.
    Write,
    /// A texture that is read, over the tensor's memory or a copy of it: see [`super::texture`].
    Texture,
}

/// What a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Weights or activations, in the kernel's [`Types::activations`].
    Activation,
    /// A product of matrices, in the kernel's [`Types::output`].
    Output,
    /// f32 in every variant: parameters, statistics, sums.
    F32,
    /// Indices, or a structure.
    Word,
}

impl Element {
    /// How its numbers are kept in a kernel of `types`.
    pub fn precision(self, types: Types) -> Precision {
        match self {
            Self::Activation => types.activations,
            Self::Output => types.output,
            Self::F32 | Self::Word => Precision::F32,
        }
    }
}

// `SHADERS`, ordered by name, `PRELUDES`, ordered like `Types::ALL`, and `REDUCTIONS`, like
// `Reduction`.
include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

impl Shader {
    /// The kernel called `name`.
    ///
    /// # Panics
    /// If there is no such file in `shaders/`: a mistake in the calling op.
    pub fn named(name: &str) -> &'static Shader {
        let found = SHADERS.binary_search_by(|shader| shader.name.cmp(name));
        &SHADERS[found.unwrap_or_else(|_| panic!("no shader {name}.wgsl"))]
    }

    /// The complete WGSL of one of its variants, in the types, the reduction and with the constants of `key`.
    ///
    /// # Panics
    /// If the types are none of [`Types::ALL`].
    pub fn text(&self, key: &KernelKey) -> String {
        let variant = Types::ALL.iter().position(|&known| known == key.types);
        let variant =
            variant.unwrap_or_else(|| panic!("{} has no variant {:?}", self.name, key.types));
        let reduction = if self.reduces { REDUCTIONS[key.reduction as usize] } else { "" };
        let subgroups = self.subgroups || self.reduces && key.reduction == Reduction::Subgroups;
        // Browsers want to be asked for subgroups; naga, the compiler of native targets, does not know the request.
        let asks = subgroups && cfg!(target_family = "wasm");
        let enable = if asks { "enable subgroups;\n" } else { self.enables };
        [enable, PRELUDES[variant], reduction, &unroll(self.source, &key.constants)].concat()
    }

    /// Those of a variant's constants that are WGSL's `override`s.
    pub fn overrides(
        &self,
        constants: &[(&'static str, u32)],
    ) -> impl Iterator<Item = (&'static str, u32)> {
        constants.iter().copied().filter(|(name, _)| !self.counts.contains(name))
    }

    /// Bindings with how they are accessed and how their numbers are kept.
    pub(super) fn operands(&self, types: Types) -> impl Iterator<Item = (Access, Precision)> {
        let precisions = self.elements.iter().map(move |element| element.precision(types));
        self.bindings.iter().copied().zip(precisions)
    }
}
