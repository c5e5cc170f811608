//! Ctrl-C.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Exit code after Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: i32 = 130;

static STOP: AtomicBool = AtomicBool::new(false);
static HANDLER: OnceLock<Option<String>> = OnceLock::new();

/// A flag that Ctrl-C sets; the second one ends the program at once.
pub(super) fn stop_on_interrupt() -> Result<&'static AtomicBool> {
    let handler = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        complain!("\nfinishing this step and saving; Ctrl-C again stops at once");
    };
    let problem = HANDLER.get_or_init(|| ctrlc::set_handler(handler).err().map(|e| e.to_string()));
    match problem {
        None => Ok(&STOP),
        Some(problem) => {
            Err(Error::argument("Ctrl-C", format!("its handler cannot be installed: {problem}")))
        }
    }
}
