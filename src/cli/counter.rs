//! How many of something are done: a bar on a terminal, a line now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines where there is no terminal.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Counts up to a number that is known.
pub(super) struct Counter {
    total: usize,
    what: &'static str,
    bar: Option<ProgressBar>,
    last_line: Cell<Instant>,
}

impl Counter {
    /// None of `total` done yet.
    pub(super) fn new(total: usize, what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(total as u64), target);
            let template = "{bar:24} {pos}/{len} {msg} ETA {eta}";
            bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
            bar.set_message(what);
            bar
        });
        Self { total, what, bar, last_line: Cell::new(Instant::now()) }
    }

    /// So many are done.
    pub(super) fn show(&self, done: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(done as u64),
            None if self.last_line.get().elapsed() >= LINE_EVERY => {
                self.last_line.set(Instant::now());
                say!("{done}/{} {}", self.total, self.what);
            }
            None => {}
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
