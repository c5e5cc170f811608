//! How matrix products are divided among workgroups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attention_form::{AttentionForm, AttentionShape};
use super::blocking::Blocking;
use super::cooperative::CooperativeTile;
use super::precision::Precision;
use super::product_shape::ProductShape;

/// The tile of the output that a workgroup computes, and by that the kernel.
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

    /// Rows and columns of a workgroup's tile.
    pub fn tile(self) -> [usize; 2] {
        match self {
            Self::Blocked(blocking) => blocking.tile(),
            Self::Cooperative(tile) => tile.tile(),
        }
    }

    /// K of products of `operands` that a workgroup takes at once.
    pub fn k_step(self, operands: Precision) -> usize {
        match self {
            Self::Blocked(blocking) => blocking.k_step(),
            Self::Cooperative(tile) => tile.k_step(operands) as usize,
        }
    }

    /// The place in [`Self::ALL`] of tiles of 64×64 with 8×4 values a thread: middling on every GPU.
    pub const MIDDLING: usize = 2;
}

/// How a product is divided among workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Division {
    /// Place in [`Tiling::ALL`].
    pub tiling: usize,
    /// Workgroups that share the sum over K of a tile.
    pub parts: usize,
}

/// How products are divided on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub struct Products {
    everywhere: Option<usize>,
    chosen: Arc<BTreeMap<ProductShape, Division>>,
    refused: Arc<BTreeSet<usize>>,
    attention: Arc<BTreeMap<AttentionShape, AttentionForm>>,
    refused_attention: Arc<BTreeSet<AttentionForm>>,
    attention_everywhere: Option<AttentionForm>,
}

impl Products {
    /// The same tiling, by its place in [`Tiling::ALL`], for all that it can divide.
    pub fn uniform(tiling: usize) -> Self {
        Self { everywhere: Some(tiling), ..Self::default() }
    }

    /// Whether it is [`Self::uniform`].
    pub fn is_uniform(&self) -> bool {
        self.everywhere.is_some()
    }

    /// How `shape` is divided, if that was chosen.
    pub fn chosen(&self, shape: &ProductShape) -> Option<Division> {
        self.chosen.get(shape).copied()
    }

    /// The tilings that suit `shape`, by their place in [`Tiling::ALL`]: those of the shapes that were chosen for,
    /// the nearest first.
    pub fn suitable(&self, shape: &ProductShape) -> impl Iterator<Item = usize> {
        let mut near: Vec<(f32, usize)> = self
            .chosen
            .iter()
            .filter_map(|(other, division)| Some((shape.distance(other)?, division.tiling)))
            .collect();
        near.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        self.everywhere.into_iter().chain(near.into_iter().map(|(_, tiling)| tiling))
    }

    /// Divides `shape` so from now on.
    pub fn choose(&mut self, shape: ProductShape, division: Division) {
        Arc::make_mut(&mut self.chosen).insert(shape, division);
    }

    /// The shapes that were chosen for.
    pub fn shapes(&self) -> impl Iterator<Item = (&ProductShape, &Division)> {
        self.chosen.iter()
    }

    /// Notes that the tiling at this place in [`Tiling::ALL`] gives wrong products.
    pub fn refuse(&mut self, tiling: usize) {
        Arc::make_mut(&mut self.refused).insert(tiling);
    }

    /// The same products, and attention in `form` wherever that can compute it.
    pub fn with_attention(self, form: AttentionForm) -> Self {
        Self { attention_everywhere: Some(form), ..self }
    }

    /// Computes attention of `shape` so from now on.
    pub fn choose_attention(&mut self, shape: AttentionShape, form: AttentionForm) {
        Arc::make_mut(&mut self.attention).insert(shape, form);
    }

    /// How attention of `shape` is computed, if that was chosen.
    pub fn chosen_attention(&self, shape: &AttentionShape) -> Option<AttentionForm> {
        self.attention.get(shape).copied()
    }

    /// The form that suits `shape`: that of the nearest one that was chosen for.
    pub fn suitable_attention(&self, shape: &AttentionShape) -> Option<AttentionForm> {
        let near = self
            .attention
            .iter()
            .filter_map(|(other, &form)| Some((shape.distance(other)?, form)))
            .min_by(|(a, _), (b, _)| a.total_cmp(b));
        self.attention_everywhere.or(near.map(|(_, form)| form))
    }

    /// Notes that attention in this form comes out wrong.
    pub fn refuse_attention(&mut self, form: AttentionForm) {
        Arc::make_mut(&mut self.refused_attention).insert(form);
    }

    /// The forms in which attention came out wrong.
    pub fn refused_attention(&self) -> impl Iterator<Item = AttentionForm> {
        self.refused_attention.iter().copied()
    }

    /// The shapes of attention that a form was chosen for.
    pub fn attentions(&self) -> impl Iterator<Item = (&AttentionShape, &AttentionForm)> {
        self.attention.iter()
    }

    /// The tilings that gave wrong products, by their place in [`Tiling::ALL`].
    pub fn refused(&self) -> impl Iterator<Item = usize> {
        self.refused.iter().copied()
    }
}

/// [`Products`] as they are written.
#[derive(Serialize, Deserialize)]
struct Kept {
    chosen: Vec<(ProductShape, Division)>,
    refused: BTreeSet<usize>,
    attention: Vec<(AttentionShape, AttentionForm)>,
    refused_attention: BTreeSet<AttentionForm>,
}

impl From<Products> for Kept {
    fn from(products: Products) -> Self {
        let chosen = products.shapes().map(|(shape, division)| (*shape, *division)).collect();
        let attention = products.attentions().map(|(shape, form)| (*shape, *form)).collect();
        Self {
            chosen,
            refused: (*products.refused).clone(),
            attention,
            refused_attention: (*products.refused_attention).clone(),
        }
    }
}

impl TryFrom<Kept> for Products {
    type Error = String;

    fn try_from(kept: Kept) -> Result<Self, String> {
        let tilings = kept.chosen.iter().map(|(_, division)| division.tiling);
        match tilings.chain(kept.refused.iter().copied()).find(|&i| i >= Tiling::ALL.len()) {
            Some(tiling) => Err(format!("there is no tiling {tiling}")),
            None => Ok(Self {
                everywhere: None,
                chosen: Arc::new(kept.chosen.into_iter().collect()),
                refused: Arc::new(kept.refused),
                attention: Arc::new(kept.attention.into_iter().collect()),
                refused_attention: Arc::new(kept.refused_attention),
                attention_everywhere: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProductLayout;

    fn shape(layout: ProductLayout, sizes: [usize; 3]) -> ProductShape {
        ProductShape::new(Precision::F32, layout, sizes)
    }

    #[test]
    fn the_nearest_shape_of_its_kind_decides() {
        let mut products = Products::default();
        for (layout, sizes, tiling) in [
            (ProductLayout::Nt, [100, 768, 768], 1),
            (ProductLayout::Nt, [3200, 768, 768], 5),
            (ProductLayout::Tn, [128, 768, 768], 7),
        ] {
            products.choose(shape(layout, sizes), Division { tiling, parts: 1 });
        }
        let suitable =
            |layout, sizes| -> Vec<usize> { products.suitable(&shape(layout, sizes)).collect() };
        assert_eq!(suitable(ProductLayout::Nt, [128, 768, 768]), [1, 5]);
        assert_eq!(suitable(ProductLayout::Nt, [2000, 768, 3072]), [5, 1]);
        assert!(suitable(ProductLayout::Nn, [128, 768, 768]).is_empty());
        let half = ProductShape { operands: Precision::F16, ..shape(ProductLayout::Nt, [1, 4, 4]) };
        assert_eq!(products.suitable(&half).count(), 0);
    }

    #[test]
    fn the_nearest_attention_of_its_precision_decides() {
        let shape = |operands, tokens| AttentionShape { operands, tokens, dim: 64 };
        let mut products = Products::default();
        products.choose_attention(shape(Precision::F16, 50), AttentionForm::Staged);
        products.choose_attention(shape(Precision::F16, 197), AttentionForm::Cooperative);
        let suitable = |operands, tokens| products.suitable_attention(&shape(operands, tokens));
        assert_eq!(suitable(Precision::F16, 64), Some(AttentionForm::Staged));
        assert_eq!(suitable(Precision::F16, 1000), Some(AttentionForm::Cooperative));
        assert_eq!(suitable(Precision::F32, 50), None);
    }

    #[test]
    fn choices_are_read_as_they_were_written() {
        let mut products = Products::default();
        products
            .choose(shape(ProductLayout::Tn, [192, 576, 1088]), Division { tiling: 3, parts: 4 });
        products.refuse(6);
        let half = AttentionShape { operands: Precision::F16, tokens: 197, dim: 64 };
        products.choose_attention(half, AttentionForm::Cooperative);
        products.refuse_attention(AttentionForm::Direct);
        let text = serde_json::to_string(&products).unwrap();
        assert_eq!(serde_json::from_str::<Products>(&text).unwrap(), products);
        let foreign = text.replace("\"tiling\":3", "\"tiling\":99");
        assert!(serde_json::from_str::<Products>(&foreign).is_err());
        // Another form.
        assert!(serde_json::from_str::<Products>("[0,1,2,3,4,5,6,7,8,0,0,0]").is_err());
    }
}
