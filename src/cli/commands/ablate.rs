//! `webmae ablate`: a study, one run after the other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::cli::format;
use crate::cli::open::open;
use crate::cli::stop::{self, stop_on_interrupt};
use crate::cli::study::file::StudyFile;
use crate::cli::study::grid::{Cell, Grid};
use crate::cli::study::report::{require_begun, write_report};
use crate::cli::study::run::{Finished, StudyRun};
use crate::cli::wording::message;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::program::{DeviceOptions, Opened};
use crate::setting::Setting;

/// Options of `webmae ablate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A study is a TOML file: options of pretrain, cases that differ in some of them, and measures (linprobe,
finetune, knn), all for several seeds; see studies/. Every option is checked before anything runs.
Pre-trainings with the same options are done once.

Its folder holds report.html and results.csv, rewritten after every run, and a folder for each run. The
same command goes on where it was stopped; what is complete is not run again.

Examples:
  webmae ablate studies/mask-ratio.toml --data CIFAR
  webmae ablate studies/mask-ratio.toml --data CIFAR --smoke
  webmae ablate studies/mask-ratio.toml --data CIFAR --only \"75 %\"")]
pub(crate) struct Args {
    /// The study
    #[arg(value_name = "STUDY.toml")]
    study: PathBuf,
    /// Labelled pictures: class folders, or CIFAR-10 batches [default: what the study names]
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Folder of the study's runs and report [default: runs/NAME, with --smoke runs/NAME-smoke]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run the short study that the file's [smoke] table describes, to see that everything works
    #[arg(long)]
    smoke: bool,
    /// Run this case only; can be given several times
    #[arg(long, value_name = "LABEL")]
    only: Vec<String>,
    /// Run nothing; write the report of what is there
    #[arg(long)]
    report: bool,
}

/// A study that is being run.
struct Ablation<'a> {
    args: &'a Args,
    options: &'a DeviceOptions,
    out: PathBuf,
    study: StudyFile,
    grid: Grid,
    opened: Option<Opened>,
    /// Runs that failed, or that need one which did.
    failed: BTreeSet<usize>,
}

/// Runs what is not complete, and writes the report.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let study = StudyFile::read(&args.study, args.smoke)?;
    let data = args.data.as_ref().or(study.data.as_ref()).ok_or_else(|| {
        Error::config(
            Setting::Data,
            "is missing: the study names no data; give class folders or CIFAR-10",
        )
    })?;
    let out = args.out.clone().unwrap_or_else(|| {
        let name = args.study.file_stem().unwrap_or_default().to_string_lossy();
        PathBuf::from("runs").join(format!("{name}{}", if args.smoke { "-smoke" } else { "" }))
    });
    let grid = Grid::new(&study, &args.study, data, &out)?;
    let mut ablation =
        Ablation { args, options, out, study, grid, opened: None, failed: BTreeSet::new() };
    if args.report {
        require_begun(&ablation.out)?;
    } else {
        ablation.run()?;
    }
    say!("report       {}", ablation.report()?.display());
    ablation.verdict()
}

impl Ablation<'_> {
    fn run(&mut self) -> Result<()> {
        let chosen = self.chosen()?;
        let mut pending = Vec::new();
        for &index in &chosen {
            if self.grid.runs[index].finished()?.is_none() {
                pending.push(index);
            }
        }
        self.check(&pending)?;
        let complete = chosen.len() - pending.len();
        say!("{} runs, {complete} of them complete, in {}", chosen.len(), self.out.display());
        std::fs::create_dir_all(&self.out).map_err(Error::io(&self.out))?;
        let stop = stop_on_interrupt()?;
        for (&index, number) in pending.iter().zip(complete + 1..) {
            let run = &self.grid.runs[index];
            let of = format!("run {number} of {}: {}", chosen.len(), run.name);
            if run.needs.is_some_and(|needs| self.failed.contains(&needs)) {
                say!("\n{of}: left out, there is nothing to measure");
                self.failed.insert(index);
                continue;
            }
            say!("\n{of}");
            let opened = match &mut self.opened {
                Some(opened) => opened,
                none => none.insert(open(self.options)?),
            };
            match run.execute(opened) {
                Ok(Some(finished)) => say!("{}", found(run, &finished)),
                Ok(None) => self.interrupted()?,
                Err(error) => {
                    complain!("error: {}: {}", run.name, message(&error));
                    self.failed.insert(index);
                    // Nothing works on a lost device.
                    self.opened.take_if(|_| matches!(error, Error::DeviceLost { .. }));
                }
            }
            if stop.load(Ordering::Relaxed) {
                self.interrupted()?;
            }
            self.report()?;
        }
        Ok(())
    }

    /// The runs that were asked for, in their order.
    fn chosen(&self) -> Result<BTreeSet<usize>> {
        let only = &self.args.only;
        let only: Vec<usize> =
            only.iter().map(|label| self.study.position(label)).collect::<Result<_>>()?;
        let cells = self.grid.cells.iter();
        let cells = cells.filter(|cell| only.is_empty() || only.contains(&cell.case));
        Ok(cells.flat_map(Cell::runs).collect())
    }

    /// Checks the options of the runs that are to come; other seeds have the same options.
    fn check(&self, pending: &[usize]) -> Result<()> {
        let of_one_seed = self.grid.cells.iter().take(self.study.case.len());
        let mut checked: BTreeSet<usize> = of_one_seed.flat_map(Cell::runs).collect();
        checked.retain(|index| pending.contains(index));
        let needed = checked.iter().filter_map(|&index| self.grid.runs[index].needs);
        let needed: BTreeSet<usize> = needed.collect();
        let mut models: Vec<Option<ModelConfig>> = Vec::new();
        for (index, run) in self.grid.runs.iter().enumerate() {
            if !checked.contains(&index) && !needed.contains(&index) {
                models.push(None);
                continue;
            }
            let model = run.needs.and_then(|needs| models[needs].as_ref());
            models.push(run.check(model).map_err(|error| match error {
                Error::Config { .. } | Error::Argument { .. } => {
                    let problem = format!("{}: {}", run.name, message(&error));
                    Error::bad_file(&self.args.study, problem)
                }
                other => other,
            })?);
        }
        Ok(())
    }

    fn report(&self) -> Result<PathBuf> {
        let command = self.command();
        write_report(&self.study, &self.grid, &self.out, &command, self.args.smoke)
    }

    /// Ends the program after Ctrl-C.
    fn interrupted(&self) -> Result<()> {
        say!("report       {}", self.report()?.display());
        say!("stopped early; go on with the same command: {}", self.command());
        std::process::exit(stop::INTERRUPTED);
    }

    /// How this study is run.
    fn command(&self) -> String {
        let Args { study, data, out, smoke, only, .. } = self.args;
        let mut words = vec!["webmae".to_owned(), "ablate".to_owned(), study.display().to_string()];
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        option("--data", data.clone());
        option("--out", out.as_ref().map(|out| out.display().to_string()));
        option("--adapter", self.options.gpu.adapter.clone());
        option("--device", self.options.choice.name().map(str::to_owned));
        for label in only {
            option("--only", Some(label.clone()));
        }
        words.extend(smoke.then(|| "--smoke".to_owned()));
        let quoted = |word: &String| {
            if word.contains(char::is_whitespace) { format!("{word:?}") } else { word.clone() }
        };
        words.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// An error if a run failed.
    fn verdict(&self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> =
            self.failed.iter().map(|&index| self.grid.runs[index].name.as_str()).collect();
        let problem = format!(
            "{} of {} runs failed or had nothing to measure ({}); the same command tries them again",
            names.len(),
            self.grid.runs.len(),
            names.join("; ")
        );
        Err(Error::bad_file(&self.args.study, problem))
    }
}

fn found(run: &StudyRun, finished: &Finished) -> String {
    let loss = finished.held_out_loss.map(|loss| format!("held-out loss {loss:.4}"));
    let found = match finished.accuracy {
        Some(accuracy) => format!("{:.2} %", 100.0 * accuracy),
        None => loss.unwrap_or_default(),
    };
    format!("{}: {found} ({})", run.name, format::duration(finished.seconds))
}
