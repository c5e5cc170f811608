//! What a run reports: while it goes on, and in the end.

use std::path::{Path, PathBuf};

use super::derived::Derived;
use crate::report::accuracy::Accuracy;
use crate::report::fidelity::Fidelity;

/// What happens during a run, in the order of happening.
#[derive(Debug)]
pub enum Event<'a> {
    /// Everything is ready; training begins or goes on after `step` steps.
    Started {
        /// Steps done before.
        step: u64,
        /// The run's folder.
        folder: &'a Path,
        /// Every derived number.
        derived: &'a Derived,
    },
    /// A step is done.
    Step(StepReport),
    /// Steps were skipped because loss or gradients were not finite.
    Skipped {
        /// The last of them.
        step: u64,
        /// How many in a row.
        in_a_row: u32,
        /// Mixed precision: the scale of the loss that it had; the next one is half of that.
        loss_scale: Option<f64>,
    },
    /// Features of a frozen encoder are being extracted, so that training need not repeat it.
    Extracting {
        /// Pictures done.
        done: usize,
        /// Pictures in all.
        total: usize,
    },
    /// Pictures could not be read and were replaced.
    Unreadable {
        /// What was wrong with each, by name.
        files: Vec<String>,
    },
    /// A plot, a picture or TensorBoard events could not be written; training goes on. Said once of each.
    Undisplayed {
        /// Which, and what was wrong.
        problem: String,
    },
    /// The held-out loss was measured.
    HeldOut {
        /// Steps done.
        step: u64,
        /// The loss.
        loss: f64,
        /// Pictures classified correctly: by the run's classifier, or by the probe beside it.
        accuracy: Option<Accuracy>,
        /// How close predicted pixels are, where pixels are predicted.
        fidelity: Option<Fidelity>,
    },
    /// What was measured on held-out pictures means nothing: the network's numbers grow beyond f32.
    Meaningless {
        /// Steps done.
        step: u64,
        /// The model, or the probe beside it.
        who: &'static str,
        /// Pictures for which what it yields is not finite.
        pictures: usize,
        /// Pictures that were measured.
        measured: usize,
    },
    /// A picture was drawn.
    Picture {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint was saved.
    Saved {
        /// Steps done.
        step: u64,
        /// The file.
        path: PathBuf,
    },
}

/// Progress after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Passes over the data done.
    pub epoch: f64,
    /// Training loss of the step.
    pub loss: f64,
    /// Its learning rate.
    pub lr: f64,
    /// Global norm of its gradients.
    pub grad_norm: f64,
    /// Images per second since the last report.
    pub images_per_second: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Whether all steps of the run are done; otherwise it was stopped.
    pub complete: bool,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Held-out loss in the end.
    pub held_out_loss: f64,
    /// Held-out pictures classified correctly in the end, by the run's classifier or by the
    /// probe beside it.
    pub accuracy: Option<Accuracy>,
    /// How close predicted pixels of held-out pictures are in the end, where pixels are predicted.
    pub fidelity: Option<Fidelity>,
    /// Reconstructions or confusion matrix, if there is something to show.
    pub picture: Option<PathBuf>,
    /// Seconds of training, over all resumed runs.
    pub seconds: f64,
    /// Share of this run's time that the device waited for data.
    pub waiting: f64,
    /// Steps skipped over the whole run.
    pub skipped: u32,
}
