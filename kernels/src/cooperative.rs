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
