//! How attention is computed on a GPU.

use serde::{Deserialize, Serialize};

use super::precision::Precision;

/// The kernels of attention, forward and backward. All mean the same.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AttentionForm {
    /// Through tiles in workgroup memory: `attention`, on every GPU.
    #[default]
    Staged,
    /// Straight from storage, without workgroup memory: `attention_direct`, where there are subgroups.
    Direct,
    /// By cooperative matrices: `attention_cooperative`, where there are such.
    Cooperative,
}

impl AttentionForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Staged, Self::Direct, Self::Cooperative];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Direct => "direct",
            Self::Cooperative => "cooperative",
        }
    }
}

/// All that decides which form is the fastest: samples and heads only add to its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttentionShape {
    /// How queries, keys and values are kept.
    pub operands: Precision,
    /// Tokens of a sample.
    pub tokens: u32,
    /// Values of a head.
    pub dim: u32,
}

impl AttentionShape {
    /// Attention of `tokens` to each other, in heads of `dim` values.
    ///
    /// # Panics
    /// If either is over 2³² − 1.
    pub fn new(operands: Precision, tokens: usize, dim: usize) -> Self {
        let [tokens, dim] =
            [tokens, dim].map(|n| u32::try_from(n).expect("a number that kernels can index"));
        Self { operands, tokens, dim }
    }

    /// By how many octaves its extents differ from another's of the same kind, in all.
    pub(super) fn distance(&self, other: &Self) -> Option<f32> {
        let octaves = |a: u32, b: u32| (a as f32 / b as f32).log2().abs();
        (self.operands == other.operands)
            .then(|| octaves(self.tokens, other.tokens) + octaves(self.dim, other.dim))
    }
}
