//! Element types: how kernels keep weights and activations in memory. They compute in f32 always.

/// How a number is kept in memory.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits
    #[default]
    F32,
    /// 16 bits: half the memory, 11 significant bits, nothing beyond ±65,504
    F16,
}

impl Precision {
    /// Its name, as options and tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// The element types that a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Types {
    /// Of weights and activations.
    pub activations: Precision,
    /// Of a product of matrices: that of activations, or f32 for the gradient of a parameter.
    pub output: Precision,
}

impl Types {
    /// Those that kernels are compiled for; the build script's preludes have this order.
    pub const ALL: [Self; 3] = [
        Self { activations: Precision::F32, output: Precision::F32 },
        Self { activations: Precision::F16, output: Precision::F16 },
        Self { activations: Precision::F16, output: Precision::F32 },
    ];

    /// The place in [`Self::ALL`].
    ///
    /// # Panics
    /// If there is none.
    pub fn number(self) -> usize {
        let number = Self::ALL.iter().position(|&known| known == self);
        number.unwrap_or_else(|| panic!("no kernel has {self:?}"))
    }
}
