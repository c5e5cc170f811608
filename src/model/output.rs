//! Whether what a network yields means anything: weights that are finite can still overflow on the way.

use crate::error::{Error, Result};
use crate::tensor::not_finite;

/// Checks that no value of `what` a network yields is NaN or infinite.
///
/// # Errors
/// [`Error::BadWeights`] says how many are.
pub fn require_meaningful(what: &str, values: &[f32]) -> Result<()> {
    let Some((count, first)) = not_finite(values) else { return Ok(()) };
    let problem = format!(
        "the model's {what} have {count} values of {} that are not finite (the first is {first}): numbers inside the \
         network grow beyond f32; the weights are damaged, or meant for pixels with another mean and deviation",
        values.len(),
    );
    Err(Error::BadWeights { problem })
}
