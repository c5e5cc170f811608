//! What commands print.

use serde::Serialize;

use crate::error::{Error, Result};

/// Prints a line, unless only the result is wanted.
pub(super) fn note(quiet: bool, line: impl FnOnce() -> String) {
    if !quiet {
        say!("{}", line());
    }
}

/// Prints what `--json` asks for.
///
/// # Errors
/// [`Error::Argument`] if it has no JSON form (a number that is not finite).
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    say!("{}", text.map_err(|e| Error::argument("--json", e.to_string()))?);
    Ok(())
}
