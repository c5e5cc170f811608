//! The table of kernels' texts that `build.rs` makes from `shaders/`.

use super::precision::{Precision, Types};
#[cfg(feature = "gpu")]
use super::unroll::unroll;

/// A kernel and the values of its constants: what is compiled, and by its name what it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelKey {
    /// File name in `shaders/`.
    pub shader: &'static str,
    /// Override constants, `bool`s as 0 or 1, and numbers that the text declares for what it repeats.
    pub constants: Vec<(&'static str, u32)>,
    /// Element types.
    pub types: Types,
    /// How it reduces over a workgroup, if it does.
    pub reduction: Reduction,
}

/// One kernel: a WGSL file with its includes.
#[derive(Debug)]
pub struct Shader {
    /// File name without its ending.
    pub name: &'static str,
    /// The kernel that means the same, and whose name its CPU twin has; often its own.
    pub twin: &'static str,
    /// Whether it reduces over a workgroup, and so comes in either [`Reduction`].
    pub reduces: bool,
    /// Bytes of the uniform at binding 0.
    pub uniform_bytes: u64,
    /// Bindings from 1 on.
    pub bindings: &'static [Binding],
    /// What GPUs compile.
    #[cfg(feature = "gpu")]
    text: Text,
}

/// A kernel's WGSL.
#[cfg(feature = "gpu")]
#[derive(Debug)]
struct Text {
    /// Language extensions, to be put in front of everything.
    enables: &'static str,
    /// Without comments, to be put behind the element types; see [`Shader::text`].
    source: &'static str,
    /// Whether it uses subgroups.
    subgroups: bool,
    /// Names of the numbers that a launch may choose for what the text repeats.
    counts: &'static [&'static str],
}

/// A tensor that a kernel takes.
#[derive(Debug)]
pub struct Binding {
    /// Its name in WGSL.
    pub name: &'static str,
    /// Whether it is written, perhaps read too; else it is read.
    pub writes: bool,
    /// What it holds.
    pub element: Element,
    /// Bytes of the smallest range that can be bound, by vectors and by single values, for each of [`Types::ALL`].
    bytes: [[u64; 3]; 2],
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

impl Binding {
    /// Bytes of the smallest range that can be bound.
    ///
    /// # Panics
    /// If the types are none of [`Types::ALL`].
    pub fn smallest(&self, key: &KernelKey) -> u64 {
        let by_values = key.constants.contains(&("SCALAR", 1));
        self.bytes[usize::from(by_values)][key.types.number()]
    }
}

// `SHADERS`, ordered by name, `ELEMENTS`, ordered like `Types::ALL`, and `REDUCTIONS`, like `Reduction`.
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
    #[cfg(feature = "gpu")]
    pub fn text(&self, key: &KernelKey) -> String {
        let Text { enables, source, subgroups, .. } = self.text;
        let elements = ELEMENTS[key.types.number()];
        let reduction = if self.reduces { REDUCTIONS[key.reduction as usize] } else { "" };
        let subgroups = subgroups || self.reduces && key.reduction == Reduction::Subgroups;
        // Browsers want to be asked for subgroups; naga, the compiler of native targets, does not know the request.
        let asks = subgroups && cfg!(target_family = "wasm");
        let enable = if asks { "enable subgroups;\n" } else { enables };
        [enable, elements, reduction, &unroll(source, &key.constants)].concat()
    }

    /// Those of a variant's constants that are WGSL's `override`s.
    #[cfg(feature = "gpu")]
    pub fn overrides(
        &self,
        constants: &[(&'static str, u32)],
    ) -> impl Iterator<Item = (&'static str, u32)> {
        constants.iter().copied().filter(|(name, _)| !self.text.counts.contains(name))
    }
}
