//! `metrics.jsonl`: one JSON object per recorded step.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::atomic_write;

/// One line. A value that was not measured at this step is left out; one that is not finite is
/// `null`, and reads as not measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the data done, with a fraction.
    pub epoch: f64,
    /// Mean training loss since the line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Loss on held-out images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_loss: Option<f64>,
    /// Share of held-out images classified correctly, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// PSNR in dB on the hidden pixels of held-out pictures, see [`super::fidelity::Fidelity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_psnr: Option<f64>,
    /// The same of harmonic filling, on the same pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harmonic_psnr: Option<f64>,
    /// The same of the visible pixels' mean colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_color_psnr: Option<f64>,
    /// Learning rate of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Global L2 norm of the gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Factor of the loss of which gradients were computed, in mixed precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Images per second since the line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
    /// Seconds of training, over all resumed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Appends records to a file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// A new log; an old file of that name is emptied.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::create(&path).map_err(Error::io(&path))?;
        Ok(Self { path, file })
    }

    /// Continues a log after `step`: lines of later steps, which a resumed run repeats, are
    /// dropped, and so is a half-written last line. A missing file is begun.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read or written, [`Error::BadFile`] when a line is no
    /// record.
    pub fn resume(path: impl AsRef<Path>, step: u64) -> Result<Self> {
        let path = path.as_ref();
        if path.exists() {
            let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
            let records = parse(path, &text)?;
            // As they are: numbers read and written anew would lose their last digits.
            let lines = text.split_inclusive('\n').zip(records);
            let kept: String =
                lines.filter(|(_, record)| record.step <= step).map(|(line, _)| line).collect();
            atomic_write(path, |w| w.write_all(kept.as_bytes()))?;
        }
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Appends one line and hands it to the operating system.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        line(record).and_then(|line| self.file.write_all(&line)).map_err(Error::io(&self.path))
    }

    /// Has every line on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// Reads a log. A last line without an end, as a crash leaves it, is skipped.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::BadFile`] with the line's number when a
/// line is no record.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Record>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    parse(path, &text)
}

/// The records of a log's whole lines.
fn parse(path: &Path, text: &str) -> Result<Vec<Record>> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let record = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let problem = format!("line {} is no record of a training step: {e}", i + 1);
            Error::bad_file(path, problem)
        })
    };
    whole.lines().enumerate().map(record).collect()
}

fn line(record: &Record) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> Record {
        Record { step, loss: Some((step as f64).sqrt() / 3.0), ..Record::default() }
    }

    #[test]
    fn a_resumed_run_repeats_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        for step in 1..=5 {
            log.append(&record(step)).unwrap();
        }
        log.file.write_all(b"{\"step\": 6, \"lo").unwrap();
        assert_eq!(read(&path).unwrap().len(), 5);
        let before = std::fs::read_to_string(&path).unwrap();
        let mut log = MetricsLog::resume(&path, 3).unwrap();
        log.append(&record(4)).unwrap();
        let expected: Vec<Record> = (1..=4).map(record).collect();
        assert_eq!(read(&path).unwrap(), expected);
        let after = std::fs::read_to_string(&path).unwrap();
        assert!(before.starts_with(&after), "{after}");
        MetricsLog::resume(folder.path().join("new.jsonl"), 3).unwrap();
    }

    #[test]
    fn what_is_not_finite_reads_as_not_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        log.append(&Record { loss: Some(f64::NAN), ..record(1) }).unwrap();
        assert_eq!(read(&path).unwrap()[0].loss, None);
        std::fs::write(&path, "{\"step\": 1, \"epoch\": 0.1}\n{}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
    }
}
