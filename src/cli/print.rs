//! What commands print, and what becomes of it.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use serde::Serialize;

use crate::error::{Error, Result};

/// Why a line could not be printed, the first time.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line on standard output. If that is not possible, the work goes on, and [`failure`] knows it.
pub(super) fn line(text: Arguments<'_>) {
    remember(writeln!(io::stdout(), "{text}"));
}

/// Prints a line on standard error, where nothing is left to do if that is not possible.
pub(super) fn complain(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Keeps the reason if something could not be printed. A reader that has gone away (`webmae info | head`) is none.
pub(super) fn remember(outcome: io::Result<()>) {
    if let Err(reason) = outcome
        && reason.kind() != ErrorKind::BrokenPipe
    {
        let _ = FAILED.set(reason);
    }
}

/// Why something could not be printed, if so.
pub(super) fn failure() -> Option<&'static io::Error> {
    FAILED.get()
}

/// Prints a line, unless only the result is wanted.
pub(super) fn note(quiet: bool, line: impl FnOnce() -> String) {
    if !quiet {
        say!("{}", line());
    }
}

/// Prints lines, unless only the result is wanted.
pub(super) fn notes(quiet: bool, lines: &[String]) {
    lines.iter().for_each(|line| note(quiet, || line.clone()));
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
