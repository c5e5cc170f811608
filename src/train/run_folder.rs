//! What a run leaves behind: `config.json`, `metrics.jsonl`, TensorBoard events, `loss.png`,
//! `reconstructions.png` and checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoints;
use super::derived::Derived;
use super::recipe::Recipe;
use super::run_display::RunDisplay;
use super::run_files::{CONFIG, METRICS};
use super::run_lock::RunLock;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::remedy::Remedy;
use crate::report::Picture;
use crate::report::metrics::{MetricsLog, Record};
use crate::setting::Setting;

/// Content of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// What was asked for; of a run that went on, last.
    pub recipe: Recipe,
    /// What followed from it when the run began.
    pub derived: Derived,
    /// The same where it went on, if it was no longer the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Resumption>,
}

/// How a run went on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resumption {
    /// Steps done before.
    pub step: u64,
    /// What followed from the recipe then.
    pub derived: Derived,
}

impl RunConfig {
    /// Of a new run.
    pub fn new(recipe: Recipe, derived: Derived) -> Self {
        Self { recipe, derived, resumed: Vec::new() }
    }

    /// What follows from the recipe now.
    pub fn latest(&self) -> &Derived {
        self.resumed.last().map_or(&self.derived, |resumption| &resumption.derived)
    }

    /// The same run, gone on with `recipe` after `step`.
    pub fn go_on(self, recipe: Recipe, step: u64, derived: Derived) -> Self {
        let before = self.latest();
        let same = *before == Derived { notes: before.notes.clone(), ..derived.clone() };
        let added = (!same).then_some(Resumption { step, derived });
        let resumed = self.resumed.into_iter().chain(added).collect();
        Self { recipe, derived: self.derived, resumed }
    }
}

/// A run's folder, open for writing.
pub struct RunFolder {
    path: PathBuf,
    log: MetricsLog,
    display: RunDisplay,
    _lock: RunLock,
}

impl RunFolder {
    /// Checks that a new run may use the folder, without touching it.
    ///
    /// # Errors
    /// [`Error::Config`] if it already holds a run.
    pub fn check_new(path: &Path) -> Result<()> {
        if path.join(CONFIG).exists() || checkpoints::folder_of(path).exists() {
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
    /// [`Error::Config`] if it already holds a run, [`Error::BadFile`] if another process has begun one,
    /// [`Error::Io`] if it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io(path))?;
        let lock = RunLock::take(path)?;
        Self::check_new(path)?;
        let log = MetricsLog::create(path.join(METRICS))?;
        let display = RunDisplay::begin(path, None);
        Ok(Self { path: path.to_path_buf(), log, display, _lock: lock })
    }

    /// Goes on in the folder of an earlier run after `step`; lines of later steps are dropped, and
    /// so are the temporary files that a killed run left.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::BadFile`] if its files cannot be read or written.
    pub fn resume(path: &Path, lock: RunLock, step: u64) -> Result<Self> {
        remove_temporary_files(path)?;
        remove_temporary_files(&checkpoints::folder_of(path))?;
        let log = MetricsLog::resume(path.join(METRICS), step)?;
        let display = RunDisplay::begin(path, Some(step + 1));
        Ok(Self { path: path.to_path_buf(), log, display, _lock: lock })
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
        let path = self.path.join(CONFIG);
        let text = serde_json::to_string_pretty(config)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;
        atomic_write(path, |file| writeln!(file, "{text}"))
    }

    /// Appends a line of metrics and its TensorBoard scalars.
    ///
    /// # Errors
    /// [`Error::Io`] if the line cannot be written.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        self.display.record(record);
        self.log.append(record)
    }

    /// Has every line and every event on the disk: a checkpoint that comes after them finds them there.
    ///
    /// # Errors
    /// [`Error::Io`] if lines cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        self.display.flush();
        self.log.sync()
    }

    /// Draws `loss.png` from the metrics so far.
    pub fn plot(&mut self, title: &str) {
        self.display.plot(title);
    }

    /// Writes `NAME.png`, and keeps the picture in the TensorBoard events. Returns the file, if it is written.
    pub fn picture(&mut self, name: &str, step: u64, picture: &Picture) -> Option<PathBuf> {
        self.display.picture(name, step, picture)
    }

    /// Plots, pictures and events that could not be written and were not named before.
    pub fn take_problems(&mut self) -> Vec<String> {
        self.display.take_problems()
    }
}

/// Reads `config.json` of a run.
///
/// # Errors
/// [`Error::Io`] or [`Error::BadFile`] if there is none or it cannot be understood.
pub fn read_config(run: &Path) -> Result<RunConfig> {
    let path = run.join(CONFIG);
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
