//! What a file's tensors are, before any value is read.

use std::collections::BTreeMap;

/// Tensors by name.
pub type Listing = BTreeMap<String, Listed>;

/// A tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Extents; empty where they are not known.
    pub shape: Vec<usize>,
    /// What it consists of.
    pub elements: Elements,
}

/// The kind of a tensor's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// Floating point numbers, as a parameter's.
    Float,
    /// Whole numbers or truth values, as a counter's, which are read as f32.
    Integer,
    /// Elements of this type, which is not read.
    Unreadable(String),
}
