//! Whether what a network yields means anything: weights that are finite can still overflow on the way.

use crate::error::{Error, Result};
use crate::tensor::not_finite;

/// Checks that no value of `what` a network yields is NaN or infinite.
///
/// # Errors
/// [`Error::BadWeights`] says how many are.
pub fn require_meaningful(what: &str, values: &[f32]) -> Result<()> {
    match not_finite(values) {
        Some((count, first)) => {
            let found = format!("{count} values of {} (the first is {first})", values.len());
            Err(meaningless(what, &found))
        }
        None => Ok(()),
    }
}

/// The error of what a network yields, of which `found` is not finite.
pub fn meaningless(what: &str, found: &str) -> Error {
    let problem = format!(
        "the model's {what} are not finite, {found}: numbers inside the network grow beyond f32; the weights are \
         damaged, or meant for pixels with another mean and deviation"
    );
    Error::BadWeights { problem }
}
