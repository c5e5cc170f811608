//! The one place that looks whether weights are numbers to compute with, natively and in the browser.

use crate::error::{Error, Result};
use crate::tensor::not_finite;

/// Checks that no value of the tensor `name` is NaN or infinite.
///
/// # Errors
/// [`Error::BadWeights`] says how many are.
pub fn require_finite(name: &str, values: &[f32]) -> Result<()> {
    let Some((count, first)) = not_finite(values) else { return Ok(()) };
    let problem = format!(
        "{name} holds {count} values of {} that are not finite (the first is {first}): the file is damaged, or its \
         training had diverged; take an earlier checkpoint",
        values.len(),
    );
    Err(Error::BadWeights { problem })
}
