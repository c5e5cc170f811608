//! Matrix products: what each is.

use serde::{Deserialize, Serialize};

use super::precision::Precision;

/// Which operand of a matrix product is transposed. All matrices are row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProductLayout {
    /// `A[M,K] · B[N,K]ᵀ`: a linear layer's forward pass.
    Nt,
    /// `A[M,K] · B[K,N]`: its input gradient.
    Nn,
    /// `A[K,M]ᵀ · B[K,N]`: its weight gradient.
    Tn,
}

impl ProductLayout {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nt, Self::Nn, Self::Tn];
}

/// All that the time of a product depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProductShape {
    /// How the operands are kept.
    pub operands: Precision,
    /// How they lie.
    pub layout: ProductLayout,
    /// `[M, N, K]`.
    pub sizes: [u32; 3],
}

impl ProductShape {
    /// A product of `[M, N, K]`.
    ///
    /// # Panics
    /// If an extent is over 2³² − 1.
    pub fn new(operands: Precision, layout: ProductLayout, sizes: [usize; 3]) -> Self {
        let sizes =
            sizes.map(|size| u32::try_from(size).expect("an extent that kernels can index"));
        Self { operands, layout, sizes }
    }

    /// Floating-point operations.
    pub fn flops(&self) -> u64 {
        2 * self.sizes.iter().map(|&size| u64::from(size)).product::<u64>()
    }

    /// Whether the rows of all three matrices are whole vectors of four.
    pub fn is_whole(&self) -> bool {
        let [m, n, k] = self.sizes.map(|size| size.is_multiple_of(4));
        match self.layout {
            ProductLayout::Nt | ProductLayout::Nn => n && k,
            ProductLayout::Tn => m && n,
        }
    }

    /// Values of a line of either operand, as they lie.
    pub fn lines(&self) -> [u32; 2] {
        let [m, n, k] = self.sizes;
        match self.layout {
            ProductLayout::Nt => [k, k],
            ProductLayout::Nn => [k, n],
            ProductLayout::Tn => [m, n],
        }
    }

    /// By how many octaves its extents differ from another's of the same kind, in all.
    pub(super) fn distance(&self, other: &Self) -> Option<f32> {
        let is_alike = (self.operands, self.layout) == (other.operands, other.layout);
        let octaves = |(&a, &b): (&u32, &u32)| (a as f32 / b as f32).log2().abs();
        is_alike.then(|| self.sizes.iter().zip(&other.sizes).map(octaves).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_vectors_or_not() {
        let whole = |layout, sizes| ProductShape::new(Precision::F32, layout, sizes).is_whole();
        assert!(whole(ProductLayout::Nt, [7, 8, 12]));
        assert!(!whole(ProductLayout::Nt, [8, 7, 12]));
        assert!(!whole(ProductLayout::Nn, [8, 8, 13]));
        assert!(whole(ProductLayout::Tn, [8, 8, 13]));
        assert!(!whole(ProductLayout::Tn, [7, 8, 12]));
    }
}
