//! What is known of a study so far, as a report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::file::{StudyCommand, StudyFile};
use super::grid::{Cell, Grid};
use super::run::Finished;
use crate::cli::format;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::report::study::{Case, Study};
use crate::train::derived::Derived;
use crate::train::run_folder::read_config;

/// Writes `report.html` and `results.csv` to `out`, and returns the page. `command` is how the study
/// is run, `smoke` whether it is the short one.
///
/// # Errors
/// [`Error::Io`] if they cannot be written, [`Error::BadFile`] if a result cannot be read.
pub(crate) fn write_report(
    study: &StudyFile,
    grid: &Grid,
    out: &Path,
    command: &str,
    smoke: bool,
) -> Result<PathBuf> {
    let finished: Vec<Option<Finished>> =
        grid.runs.iter().map(|run| run.finished()).collect::<Result<_>>()?;
    let report = Study {
        title: study.title.clone(),
        axis: study.axis.clone(),
        paper: study.paper.clone(),
        notes: notes(study, grid, &finished, command, smoke),
        measures: study.measure.iter().map(|measure| measure.name.clone()).collect(),
        cases: (0..study.case.len()).map(|index| case(study, grid, &finished, index)).collect(),
        log_axis: study.log_axis,
    };
    let page = out.join("report.html");
    let html = report.to_html()?;
    atomic_write(&page, |file| file.write_all(html.as_bytes()))?;
    let csv = report.to_csv()?;
    atomic_write(out.join("results.csv"), |file| file.write_all(&csv))?;
    Ok(page)
}

fn case(study: &StudyFile, grid: &Grid, finished: &[Option<Finished>], index: usize) -> Case {
    let cells = || grid.cells.iter().filter(|cell| cell.case == index);
    let values = |column: usize| -> BTreeMap<u64, f64> {
        let value = |cell: &Cell| finished[cell.measures[column]?].as_ref()?.accuracy;
        cells().filter_map(|cell| Some((cell.seed, value(cell)?))).collect()
    };
    let case = &study.case[index];
    // Measures may share a run.
    let runs: BTreeSet<usize> = cells().flat_map(Cell::runs).collect();
    Case {
        label: case.label.clone(),
        x: case.x,
        is_default: case.default,
        measures: study
            .measure
            .iter()
            .enumerate()
            .map(|(column, measure)| (measure.name.clone(), values(column)))
            .collect::<BTreeMap<_, _>>(),
        seconds: runs.into_iter().filter_map(|run| Some(finished[run].as_ref()?.seconds)).sum(),
    }
}

fn notes(
    study: &StudyFile,
    grid: &Grid,
    finished: &[Option<Finished>],
    command: &str,
    smoke: bool,
) -> Vec<(String, String)> {
    let done = || grid.runs.iter().zip(finished).filter(|(_, finished)| finished.is_some());
    // Nearest neighbours leave no such file.
    let derived: Vec<Derived> = done()
        .filter_map(|(run, _)| Some(read_config(&run.folder).ok()?.latest().clone()))
        .collect();
    let distinct = |of: &dyn Fn(&Derived) -> String| -> String {
        let texts: BTreeSet<String> = derived.iter().map(of).collect();
        texts.into_iter().collect::<Vec<_>>().join("; ")
    };
    let pretrained: BTreeSet<usize> = grid.cells.iter().filter_map(|cell| cell.pretrain).collect();
    let sizes = pretrained.into_iter().filter(|&run| finished[run].is_some());
    let sizes: Vec<usize> = sizes
        .filter_map(|run| Some(read_config(&grid.runs[run].folder).ok()?.latest().parameters))
        .collect();
    let parameters = match (sizes.iter().min(), sizes.iter().max()) {
        (Some(least), Some(most)) if least < most => {
            format!("{} to {}", format::count(*least as u64), format::count(*most as u64))
        }
        (_, most) => most.map_or(String::new(), |most| format::count(*most as u64)),
    };
    let seconds: f64 = finished.iter().flatten().map(|finished| finished.seconds).sum();
    let seeds: Vec<String> = study.seeds.iter().map(ToString::to_string).collect();
    let (complete, all) = (done().count(), grid.runs.len());
    let mut notes = vec![
        ("data", distinct(&|derived| derived.train_data.clone())),
        ("held out", distinct(&|derived| derived.held_out_data.clone())),
        ("seeds", seeds.join(", ")),
        ("parameters in pre-training", parameters),
        ("adapter", distinct(&|derived| derived.adapter.clone())),
        ("command", command.to_owned()),
        ("time", format!("{} for {complete} of {all} runs", format::duration(seconds))),
        ("webmae", distinct(&|derived| derived.webmae.clone())),
    ];
    if smoke {
        let text = "a short run that shows that everything works; its numbers mean nothing";
        notes.insert(0, ("smoke", text.to_owned()));
    }
    let has = |is: &dyn Fn(usize) -> bool| (0..study.case.len()).any(is);
    if has(&|case| study.case[case].random) {
        let text = "an encoder as initialised: one step at a learning rate of 0";
        notes.push(("random", text.to_owned()));
    }
    let tuned = study.measure.iter().find(|measure| measure.command == StudyCommand::Finetune);
    if let Some(tuned) = tuned.filter(|_| has(&|case| study.case[case].scratch)) {
        let text = format!("without pre-training, {:?} is webmae train's accuracy", tuned.name);
        notes.push(("scratch", text));
    }
    if (0..grid.cells.len()).any(|at| is_shared(grid, at)) {
        let text = "minutes count a pre-training for each case that is measured on it";
        notes.push(("shared", text.to_owned()));
    }
    let known = notes.into_iter().filter(|(_, text)| !text.is_empty());
    known.map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Whether a cell's pre-training is an earlier one's as well.
fn is_shared(grid: &Grid, at: usize) -> bool {
    let pretrain = grid.cells[at].pretrain;
    pretrain.is_some() && grid.cells[..at].iter().any(|cell| cell.pretrain == pretrain)
}

/// Checks that there is something to report on.
///
/// # Errors
/// [`Error::BadFile`] if the study was never begun.
pub(crate) fn require_begun(out: &Path) -> Result<()> {
    if out.is_dir() {
        return Ok(());
    }
    Err(Error::bad_file(out, "does not exist: nothing has been run; leave out --report"))
}
