//! A tensor in host memory, and named collections of them.

use std::collections::BTreeMap;

/// Row-major f32 values with their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Extent of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// `shape.product()` values, last dimension fastest.
    pub data: Vec<f32>,
}

impl HostTensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Panics
    /// If the number of values is not the product of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "values do not fill {shape:?}");
        Self { shape, data }
    }

    /// A tensor of `shape` filled with zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let data = vec![0.0; shape.iter().product()];
        Self { shape, data }
    }
}

/// How many of `values` are NaN or infinite, and the first of them; none if all are finite.
pub fn not_finite(values: &[f32]) -> Option<(usize, f32)> {
    let mut wrong = values.iter().filter(|value| !value.is_finite());
    wrong.next().map(|first| (1 + wrong.count(), *first))
}

/// Tensors by name, in the names' order.
pub type TensorMap = BTreeMap<String, HostTensor>;

/// Shapes of tensors by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The shapes alone.
pub fn shapes(tensors: &TensorMap) -> Shapes {
    by_name(tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())))
}

/// Collects named things one after the other. `collect` would sort them first, and bring a sort of its own for
/// every type into the module for browsers.
pub(crate) fn by_name<N: Ord, T>(named: impl IntoIterator<Item = (N, T)>) -> BTreeMap<N, T> {
    let mut map = BTreeMap::new();
    map.extend(named);
    map
}
