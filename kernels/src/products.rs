//! Matrix products: which ones are alike, and how each kind is divided among workgroups.

use serde::{Deserialize, Serialize};

use super::blocking::Blocking;
use super::cooperative::CooperativeTile;
use super::precision::Precision;

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
    /// How the operands are kept.
    pub operands: Precision,
    /// How they lie.
    pub layout: ProductLayout,
    /// Whether the output is large enough to fill a GPU with the largest tiles.
    pub large: bool,
}

impl ProductClass {
    /// All of them, in the order of [`Products`].
    pub const ALL: [Self; 12] = {
        use Precision::{F16, F32};
        use ProductLayout::{Nn, Nt, Tn};
        const fn of(operands: Precision, layout: ProductLayout, large: bool) -> ProductClass {
            ProductClass { operands, layout, large }
        }
        [
            of(F32, Nt, false),
            of(F32, Nt, true),
            of(F32, Nn, false),
            of(F32, Nn, true),
            of(F32, Tn, false),
            of(F32, Tn, true),
            of(F16, Nt, false),
            of(F16, Nt, true),
            of(F16, Nn, false),
            of(F16, Nn, true),
            of(F16, Tn, false),
            of(F16, Tn, true),
        ]
    };

    /// The class of products with an output of `m × n`.
    pub fn of(operands: Precision, layout: ProductLayout, [m, n]: [usize; 2]) -> Self {
        /// 64 tiles of 128×128.
        const LARGE: usize = 64 * 128 * 128;
        Self { operands, layout, large: m * n >= LARGE }
    }

    fn index(self) -> usize {
        6 * self.operands as usize + 2 * self.layout as usize + usize::from(self.large)
    }
}

/// How a product is divided among workgroups, and by that which kernel computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tiling {
    /// `gemm`, on every GPU.
    Blocked(Blocking),
    /// `gemm_cooperative`, where there are cooperative matrices.
    Cooperative(CooperativeTile),
}

impl Tiling {
    /// All of them: [`Blocking::ALL`], then [`CooperativeTile::ALL`].
    pub const ALL: [Self; Blocking::ALL.len() + CooperativeTile::ALL.len()] = {
        let blocked = Blocking::ALL.len();
        let mut all = [Self::Blocked(Blocking::ALL[0]); _];
        let mut i = 0;
        while i < all.len() {
            all[i] = if i < blocked {
                Self::Blocked(Blocking::ALL[i])
            } else {
                Self::Cooperative(CooperativeTile::ALL[i - blocked])
            };
            i += 1;
        }
        all
    };
}

/// The tiling of each class of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u8; 12]", into = "[u8; 12]")]
pub struct Products([u8; ProductClass::ALL.len()]);

impl Products {
    /// The same tiling, by its number in [`Tiling::ALL`], for every class.
    pub fn uniform(tiling: usize) -> Self {
        Self([tiling as u8; ProductClass::ALL.len()])
    }

    /// The tiling of a class; see [`super::KernelTarget::tiling`] for what a device makes of it.
    pub fn tiling(&self, class: ProductClass) -> Tiling {
        Tiling::ALL[self.number(class)]
    }

    /// Its number in [`Tiling::ALL`].
    pub fn number(&self, class: ProductClass) -> usize {
        usize::from(self.0[class.index()])
    }

    /// Chooses a tiling by its number in [`Tiling::ALL`].
    pub fn set(&mut self, class: ProductClass, tiling: usize) {
        self.0[class.index()] = tiling as u8;
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
        match numbers.iter().find(|&&number| usize::from(number) >= Tiling::ALL.len()) {
            Some(number) => Err(format!("there is no tiling {number}")),
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
    fn foreign_numbers_are_refused() {
        let text = "[0,1,2,3,4,5,6,7,8,0,0,0]";
        let products: Products = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&products).unwrap(), text);
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,5,6,7,8,99,0,0]").is_err());
        // As they were kept before operands in f16 had classes of their own.
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,5]").is_err());
    }
}
