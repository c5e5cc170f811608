//! One sort for all that is sorted by number.

use std::cmp::Ordering;

/// Sorts numbers of things as `compare` orders the things; equal ones by number.
///
/// The comparison is behind a pointer so that there is one sort: of a generic one the module for browsers would have
/// a copy for each comparison.
pub(crate) fn sort_indices(indices: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    indices.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
}
