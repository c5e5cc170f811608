//! What a run leaves behind: `config.json`, `metrics.jsonl`, TensorBoard events, `loss.png`,
//! `reconstructions.png` and checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoints;
use super::recipe::{Derived, Recipe};
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::remedy::Remedy;
use crate::report::Picture;
use crate::report::metrics::{self, MetricsLog, Record};
use crate::report::plot::loss_curves;
use crate::report::tensorboard::EventWriter;
use crate::setting::Setting;

/// Content of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// What was asked for.
    pub recipe: Recipe,
    /// What follows from it.
    pub derived: Derived,
}

/// A run's folder, open for writing.
pub struct RunFolder {
    path: PathBuf,
    log: MetricsLog,
    events: EventWriter,
}

impl RunFolder {
    /// Checks that a new run may use the folder, without touching it.
    ///
    /// # Errors
    /// [`Error::Config`] if it already holds a run.
    pub fn check_new(path: &Path) -> Result<()> {
        if path.join("config.json").exists() || checkpoints::folder_of(path).exists() {
            let shown = path.display();
            return Err(Error::Config {
                setting: Setting::Out,
                problem: format!("{shown} already holds a run; a new one needs another folder"),
                remedies: vec![Remedy::set(Setting::Resume, shown).giving("continues that run")],
            });
        }
        Ok(())
    }

    /// Begins a folder for a new run.
    ///
    /// # Errors
    /// [`Error::Config`] if it already holds a run, [`Error::Io`] if it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        Self::check_new(path)?;
        fs::create_dir_all(path).map_err(Error::io(path))?;
        let log = MetricsLog::create(path.join("metrics.jsonl"))?;
        let events = EventWriter::create(path.join("tensorboard"), None)?;
        Ok(Self { path: path.to_path_buf(), log, events })
    }

    /// Goes on in the folder of an earlier run after `step`; lines of later steps are dropped, and
    /// so are the temporary files that a killed run left.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] if its files cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        remove_temporary_files(path)?;
        remove_temporary_files(&checkpoints::folder_of(path))?;
        let log = MetricsLog::resume(path.join("metrics.jsonl"), step)?;
        let events = EventWriter::create(path.join("tensorboard"), Some(step + 1))?;
        Ok(Self { path: path.to_path_buf(), log, events })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write_config(&self, config: &RunConfig) -> Result<()> {
        let path = self.path.join("config.json");
        let text = serde_json::to_string_pretty(config)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;
        atomic_write(path, |file| writeln!(file, "{text}"))
    }

    /// Appends a line of metrics and its TensorBoard scalars.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full.
    pub fn record(&mut self, record: &Record) -> Result<()> {
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
        for (tag, value) in scalars {
            if let Some(value) = value {
                self.events.scalar(tag, record.step, value)?;
            }
        }
        self.log.append(record)
    }

    /// Draws `loss.png` from the metrics so far.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn plot(&mut self, title: &str) -> Result<()> {
        let records = metrics::read(self.path.join("metrics.jsonl"))?;
        if records.iter().any(|r| r.loss.is_some_and(f64::is_finite)) {
            loss_curves(title, &records)?.write_png(self.path.join("loss.png"))?;
        }
        self.events.flush()
    }

    /// Writes `NAME.png`, and keeps the picture in the TensorBoard events.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn picture(&mut self, name: &str, step: u64, picture: &Picture) -> Result<PathBuf> {
        let path = self.path.join(name).with_extension("png");
        picture.write_png(&path)?;
        self.events.image(name, step, picture.size(), picture.to_png()?)?;
        Ok(path)
    }
}

/// Reads `config.json` of a run.
///
/// # Errors
/// [`Error::Io`] or [`Error::BadFile`] if there is none or it cannot be understood.
pub fn read_config(run: &Path) -> Result<RunConfig> {
    let path = run.join("config.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|e| Error::bad_file(&path, e.to_string()))
}

/// The first of `parent/name-1`, `parent/name-2`, … that does not exist.
pub fn next_free(parent: &Path, name: &str) -> PathBuf {
    let numbered = (1..).map(|n| parent.join(format!("{name}-{n}")));
    numbered.into_iter().find(|path| !path.exists()).expect("some number is free")
}

fn remove_temporary_files(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(".webmae-") && name.ends_with(".tmp") {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}
