//! What of a program is worth measuring on a GPU.

use std::collections::BTreeSet;

use super::attention_form::AttentionShape;
use super::product_shape::ProductShape;

/// The shapes of what a program computes in one of several ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramShapes {
    /// Of its matrix products.
    pub products: BTreeSet<ProductShape>,
    /// Of its attention.
    pub attentions: BTreeSet<AttentionShape>,
}

impl ProgramShapes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty() && self.attentions.is_empty()
    }

    /// Adds those of another program.
    pub fn extend(&mut self, other: &Self) {
        self.products.extend(&other.products);
        self.attentions.extend(&other.attentions);
    }
}
