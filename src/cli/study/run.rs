//! One run of a study: a command with its words, in a folder that says whether it is complete.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};

use super::file::StudyCommand;
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::run::RunArgs;
use crate::cli::commands::knn;
use crate::cli::commands::pretrain;
use crate::cli::commands::supervised::{FinetuneArgs, GivenEncoder, LinprobeArgs, TrainArgs};
use crate::cli::execute::execute_on;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::program::Opened;
use crate::train::recipe::Recipe;
use crate::train::run::Start;

/// A run.
pub(crate) struct StudyRun {
    /// Case, seed and what it does.
    pub name: String,
    /// What it is said with, without the folders.
    pub words: Vec<String>,
    /// Where it lives.
    pub folder: PathBuf,
    /// The run before it whose encoder it measures.
    pub needs: Option<usize>,
    line: Line,
}

/// The command lines that runs have: those of `webmae`.
#[derive(Debug, Parser)]
enum Line {
    Pretrain(Box<pretrain::Args>),
    Linprobe(Box<LinprobeArgs>),
    Finetune(Box<FinetuneArgs>),
    Knn(Box<knn::Args>),
    Train(Box<TrainArgs>),
}

/// What is left of a complete run, `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// Share of held-out pictures classified correctly, where there is a classifier.
    pub accuracy: Option<f64>,
    /// Loss on held-out pictures, where something was trained.
    pub held_out_loss: Option<f64>,
    /// Time that it took.
    pub seconds: f64,
    /// What it was said with.
    pub words: Vec<String>,
}

impl StudyRun {
    /// A run of `command` in `folder`, on the encoder in the folder `weights` if it takes one.
    ///
    /// # Errors
    /// Names the run and the option that its command does not take.
    pub(crate) fn new(
        name: String,
        command: StudyCommand,
        words: Vec<String>,
        folder: PathBuf,
        weights: Option<&Path>,
        needs: Option<usize>,
    ) -> Result<Self, String> {
        let mut line: Vec<OsString> = vec!["webmae".into(), command.name().into()];
        line.extend(words.iter().map(OsString::from));
        if command != StudyCommand::Knn {
            line.extend(["--out".into(), folder.clone().into_os_string()]);
        }
        if let Some(weights) = weights {
            line.extend(["--weights".into(), weights.as_os_str().to_owned()]);
        }
        let line =
            Line::try_parse_from(line).map_err(|error| format!("{name}: {}", short(&error)))?;
        Ok(Self { name, words, folder, needs, line })
    }

    /// What it found, if it is complete.
    ///
    /// # Errors
    /// [`Error::BadFile`] if that cannot be read.
    pub(crate) fn finished(&self) -> Result<Option<Finished>> {
        let path = self.result();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::bad_file(&path, format!("{e}; remove it, and the run is looked at again"))
        })
    }

    /// Checks its options as far as they go without an encoder, given the `model` that it will measure.
    /// Returns the model that it pre-trains.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub(crate) fn check(&self, model: Option<&ModelConfig>) -> Result<Option<ModelConfig>> {
        let encoder = || GivenEncoder::fresh(model.expect("of the run that it needs").clone());
        let (recipe, _) = match &self.line {
            Line::Pretrain(args) => args.begin()?,
            Line::Linprobe(args) => args.begin_on(encoder())?,
            Line::Finetune(args) => args.begin_on(encoder())?,
            Line::Train(args) => args.begin()?,
            Line::Knn(args) => return args.validate().map(|()| None),
        };
        recipe.validate()?;
        Ok(recipe.classify.is_none().then_some(recipe.model))
    }

    /// Does it, or what is left of it. Nothing is returned if it was interrupted.
    ///
    /// # Errors
    /// What its command fails with.
    pub(crate) fn execute(&self, opened: &Opened) -> Result<Option<Finished>> {
        let finished = match &self.line {
            Line::Knn(args) => {
                let began = Instant::now();
                let top1 = args.measure(|| Ok(opened.device.clone()))?.top1.share;
                Finished {
                    accuracy: Some(top1),
                    held_out_loss: None,
                    seconds: began.elapsed().as_secs_f64(),
                    words: self.words.clone(),
                }
            }
            _ => {
                let (recipe, start) = self.start()?;
                let outcome = execute_on(opened, &recipe, start)?;
                if !outcome.complete {
                    return Ok(None);
                }
                Finished {
                    accuracy: outcome.accuracy.map(|accuracy| accuracy.share),
                    held_out_loss: Some(outcome.held_out_loss),
                    seconds: outcome.seconds,
                    words: self.words.clone(),
                }
            }
        };
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        let path = self.result();
        let text = serde_json::to_string_pretty(&finished)
            .map_err(|e| Error::bad_file(&path, e.to_string()))?;
        atomic_write(&path, |file| writeln!(file, "{text}"))?;
        Ok(Some(finished))
    }

    /// From its checkpoint; anew if it has none that can be read.
    fn start(&self) -> Result<(Recipe, Start)> {
        if self.folder.exists() {
            let is_supervised = !matches!(self.line, Line::Pretrain(_));
            match RunArgs::default().resumed(&self.folder, is_supervised, &MemoryArgs::default()) {
                Err(Error::BadFile { path, problem }) => {
                    say!("{}: {problem}; beginning anew", path.display());
                    fs::remove_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
                }
                resumed => return resumed,
            }
        }
        let (recipe, start) = match &self.line {
            Line::Pretrain(args) => args.begin()?,
            Line::Linprobe(args) => args.begin()?,
            Line::Finetune(args) => args.begin()?,
            Line::Train(args) => args.begin()?,
            Line::Knn(_) => unreachable!("trains nothing"),
        };
        recipe.validate()?;
        Ok((recipe, start))
    }

    fn result(&self) -> PathBuf {
        self.folder.join("result.json")
    }
}

/// What a refused command line was refused for, in one line.
fn short(error: &clap::Error) -> String {
    let text = error.to_string();
    let about = text.lines().take_while(|line| !line.starts_with("Usage")).map(str::trim);
    let about: Vec<&str> =
        about.filter(|line| !line.is_empty() && !line.contains("--help")).collect();
    about.join("; ").trim_start_matches("error: ").to_owned()
}
