//! The progress of a run: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::counter::{Counter, LINE_EVERY};
use super::format;
use crate::program::Opened;
use crate::report::accuracy::Accuracy;
use crate::report::fidelity::Fidelity;
use crate::train::event::{Event, StepReport};

/// Unreadable files that are named at once.
const NAMED_FILES: usize = 5;

/// Shows a run's events.
pub(super) struct Progress {
    device: String,
    why: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
    held_out: Option<String>,
    extracting: Option<Counter>,
}

impl Progress {
    /// Progress of a run on a device.
    pub(super) fn new(opened: &Opened) -> Self {
        Self {
            device: opened.device.summary().to_string(),
            why: opened.why.clone(),
            bar: None,
            last_line: Instant::now(),
            held_out: None,
            extracting: None,
        }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { step, folder, derived } => {
                say!("device       {}: {}", self.device, self.why);
                say!("training     {}", derived.train_data);
                say!(
                    "held out     {} pictures, {}",
                    derived.held_out_images,
                    derived.held_out_data
                );
                let frozen = match derived.frozen_parameters {
                    0 => String::new(),
                    n => format!(" and {} fixed ones", format::count(n as u64)),
                };
                say!(
                    "model        {} trained parameters{frozen}, {} of {} patches visible",
                    format::count(derived.parameters as u64),
                    derived.len_keep,
                    derived.num_patches
                );
                say!(
                    "step         {} images, {:.2} GFLOP, {} launches, {} on the device",
                    derived.effective_batch,
                    derived.flops_per_step as f64 / 1e9,
                    derived.dispatches_per_step,
                    format::bytes(derived.device_bytes)
                );
                say!(
                    "schedule     {} steps ({} per epoch), learning rate {:.3e} after {} steps",
                    derived.schedule.total_steps,
                    derived.steps_per_epoch,
                    derived.schedule.lr,
                    derived.schedule.warmup_steps
                );
                for note in &derived.notes {
                    say!("note         {note}");
                }
                say!("run          {}", folder.display());
                self.bar = std::io::stderr().is_terminal().then(|| {
                    let bar = ProgressBar::with_draw_target(
                        Some(derived.schedule.total_steps),
                        ProgressDrawTarget::stderr(),
                    );
                    let template = "{bar:24} {pos}/{len} {msg} ETA {eta}";
                    bar.set_style(
                        ProgressStyle::with_template(template).expect("a valid template"),
                    );
                    bar.set_position(*step);
                    bar.reset_eta();
                    bar
                });
            }
            Event::Step(report) => self.step(report),
            Event::Skipped { step, in_a_row, loss_scale } => {
                let scale = loss_scale.map_or(String::new(), |scale| {
                    format!("; the loss was scaled by {scale}, from now on by {}", scale / 2.0)
                });
                self.line(&format!(
                    "step {step} skipped: its loss or gradients are not finite ({in_a_row} in a \
                     row{scale})"
                ));
            }
            Event::Unreadable { files } => {
                for file in files.iter().take(NAMED_FILES) {
                    self.line(&format!("skipped {file}"));
                }
                if files.len() > NAMED_FILES {
                    self.line(&format!("… and {} more files", files.len() - NAMED_FILES));
                }
                self.line(&format!("{} unreadable files skipped; --strict stops", files.len()));
            }
            Event::Undisplayed { problem } => {
                self.line(&format!("warning: not written, training goes on: {problem}"));
            }
            Event::Extracting { done, total } => {
                let counter =
                    self.extracting.get_or_insert_with(|| Counter::new(*total, "features"));
                counter.show(*done);
                if done == total {
                    counter.finish();
                }
            }
            Event::HeldOut { step, loss, accuracy, fidelity } => {
                let share = |accuracy: Accuracy| format!(", {:.2} %", 100.0 * accuracy.share);
                let accuracy = accuracy.map_or(String::new(), share);
                let (model, baseline) = fidelity.map_or_else(Default::default, |fidelity| {
                    let Fidelity { model, harmonic, .. } = fidelity;
                    (format!(", {model:.2} dB"), format!(" (harmonic filling {harmonic:.2})"))
                });
                self.line(&format!(
                    "step {step}: held-out loss {loss:.4}{accuracy}{model}{baseline}"
                ));
                self.held_out = Some(format!("{loss:.4}{accuracy}{model}"));
            }
            Event::Meaningless { step, who, pictures, measured } => {
                self.line(&format!(
                    "step {step}: what {who} yields for {pictures} of {measured} held-out pictures is not finite"
                ));
            }
            Event::Picture { .. } | Event::Saved { .. } => {}
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn step(&mut self, report: &StepReport) {
        let held_out = self.held_out.as_ref();
        let held_out = held_out.map_or(String::new(), |result| format!(" (held out {result})"));
        let text = format!(
            "loss {:.4}{held_out} lr {:.2e} {:.0} images/s",
            report.loss, report.lr, report.images_per_second
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{text} {}", self.device));
                bar.set_position(report.step);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                say!(
                    "step {}/{} epoch {:.1} {text}",
                    report.step,
                    report.total_steps,
                    report.epoch
                );
            }
            None => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say!("{text}"),
        }
    }
}
