//! What only shows a run: plots, pictures and TensorBoard events. Where they cannot be written, training goes on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::report::Picture;
use crate::report::metrics::{self, Record};
use crate::report::plot::loss_curves;
use crate::report::tensorboard::EventWriter;

/// Writes what shows a run, and keeps what was wrong with it.
pub(super) struct RunDisplay {
    run: PathBuf,
    /// `None` once they could not be written: a file with a gap would be read as one without.
    events: Option<EventWriter>,
    /// What could not be written, each said once.
    failed: BTreeSet<String>,
    problems: Vec<String>,
}

impl RunDisplay {
    /// Begins a file of events in the folder `run`, of a run that goes on from step `resumed_step - 1` if it is
    /// given.
    pub(super) fn begin(run: &Path, resumed_step: Option<u64>) -> Self {
        let mut display = Self {
            run: run.to_path_buf(),
            events: None,
            failed: BTreeSet::new(),
            problems: Vec::new(),
        };
        let events = EventWriter::create(run.join("tensorboard"), resumed_step);
        display.events = display.tried("TensorBoard events", events);
        display
    }

    /// What could not be written since the last call and was not said before.
    pub(super) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Records a line's numbers as TensorBoard scalars.
    pub(super) fn record(&mut self, record: &Record) {
        let scalars = [
            ("loss/train", record.loss),
            ("loss/held_out", record.held_out_loss),
            ("learning_rate", record.learning_rate),
            ("accuracy/held_out", record.accuracy),
            ("psnr/held_out", record.held_out_psnr),
            ("psnr/harmonic", record.harmonic_psnr),
            ("psnr/mean_color", record.mean_color_psnr),
            ("grad_norm", record.grad_norm),
            ("loss_scale", record.loss_scale),
            ("images_per_second", record.images_per_second),
        ];
        self.on_events(|events| {
            let measured = scalars.iter().filter_map(|&(tag, value)| Some((tag, value?)));
            measured.into_iter().try_for_each(|(tag, value)| events.scalar(tag, record.step, value))
        });
    }

    /// Draws `loss.png` from the metrics so far.
    pub(super) fn plot(&mut self, title: &str) {
        let drawn = metrics::read(self.run.join("metrics.jsonl")).and_then(|records| match records
            .iter()
            .any(|record| record.loss.is_some_and(f64::is_finite))
        {
            true => loss_curves(title, &records)?.write_png(self.run.join("loss.png")),
            false => Ok(()),
        });
        self.tried("loss.png", drawn);
        self.flush();
    }

    /// Writes `NAME.png`, and keeps the picture in the TensorBoard events. Returns the file, if it is written.
    pub(super) fn picture(&mut self, name: &str, step: u64, picture: &Picture) -> Option<PathBuf> {
        let path = self.run.join(name).with_extension("png");
        self.on_events(|events| events.image(name, step, picture.size(), picture.to_png()?));
        self.tried(name, picture.write_png(&path)).map(|()| path)
    }

    /// Has all events on the disk.
    pub(super) fn flush(&mut self) {
        self.on_events(EventWriter::sync);
    }

    fn on_events(&mut self, write: impl FnOnce(&mut EventWriter) -> Result<()>) {
        let Some(mut events) = self.events.take() else { return };
        let written = write(&mut events);
        self.events = self.tried("TensorBoard events", written).map(|()| events);
    }

    fn tried<T>(&mut self, what: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if self.failed.insert(what.to_owned()) {
                    self.problems.push(format!("{what}: {error}"));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        // Files where folders should be, and the other way round.
        std::fs::write(folder.path().join("tensorboard"), "").unwrap();
        std::fs::create_dir(folder.path().join("loss.png")).unwrap();
        std::fs::write(
            folder.path().join("metrics.jsonl"),
            "{\"step\":1,\"epoch\":1,\"loss\":1}\n{\"step\":2,\"epoch\":2,\"loss\":1}\n",
        )
        .unwrap();
        let mut display = RunDisplay::begin(folder.path(), None);
        for _ in 0..3 {
            display.record(&Record { step: 1, loss: Some(1.0), ..Record::default() });
            display.plot("a title");
        }
        let problems = display.take_problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems[0].starts_with("TensorBoard events") && problems[1].starts_with("loss.png")
        );
        assert!(display.take_problems().is_empty());
    }
}
