//! Which workloads are run, and how.

use super::args::Args;
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::measure::record::BenchRecord;
use crate::measure::workload::{Mode, WORKLOADS, Workload};

/// One workload in one mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ChosenRun {
    pub workload: Workload,
    pub mode: Mode,
    /// Images per batch, unless the workload's own number.
    pub batch_size: Option<usize>,
    pub recompute: bool,
    pub precision: Precision,
}

/// The runs that `args` ask for; of a `saved` run all that it has, as it was, unless `args` say
/// otherwise.
///
/// # Errors
/// [`Error::Argument`] for a workload that does not exist or was not saved.
pub(crate) fn choose(args: &Args, saved: Option<&BenchRecord>) -> Result<Vec<ChosenRun>> {
    let workloads = match (&args.workloads[..], saved) {
        ([], None) => WORKLOADS.to_vec(),
        ([], Some(saved)) => {
            let is_saved = |w: &Workload| saved.results.iter().any(|r| r.workload == w.name);
            WORKLOADS.into_iter().filter(is_saved).collect()
        }
        (names, _) => names.iter().map(|name| named(name)).collect::<Result<_>>()?,
    };
    let modes: &[Mode] = match (args.forward, args.train) {
        (true, _) => &[Mode::Forward],
        (_, true) => &[Mode::Train],
        _ => &Mode::ALL,
    };
    let mut runs = Vec::new();
    for (workload, &mode) in workloads.iter().flat_map(|w| modes.iter().map(move |m| (w, m))) {
        let result = saved.and_then(|saved| saved.find(workload.name, mode));
        if saved.is_some() && result.is_none() {
            continue;
        }
        let given = args.batch_size.map(|n| n as usize);
        runs.push(ChosenRun {
            workload: *workload,
            mode,
            batch_size: given.or(result.map(|result| result.batch_size)),
            recompute: args.memory.recompute(result.is_some_and(|result| result.recompute)),
            precision: args
                .memory
                .precision(result.map_or(Precision::F32, |result| result.precision)),
        });
    }
    match saved {
        Some(saved) if runs.is_empty() => Err(nothing_in_common(saved)),
        _ => Ok(runs),
    }
}

fn named(name: &str) -> Result<Workload> {
    Workload::named(name).ok_or_else(|| {
        let names = WORKLOADS.map(|workload| workload.name).join(", ");
        Error::argument("workload", format!("there is no {name:?}; one of {names}"))
    })
}

fn nothing_in_common(saved: &BenchRecord) -> Error {
    let has: Vec<String> =
        saved.results.iter().map(|r| format!("{} {}", r.workload, r.mode.name())).collect();
    let problem = format!(
        "the saved run has nothing of what is asked for, only {}; name one of these, or save a run \
         of the others",
        has.join(", ")
    );
    Error::argument("--compare", problem)
}
