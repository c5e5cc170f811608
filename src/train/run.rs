//! The training loop, with labels or without.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pollster::block_on;

use super::assessment::{Assessment, Measured};
use super::checkpoint::Checkpoint;
use super::checkpoints;
use super::derived::Derived;
use super::event::{Event, Outcome, StepReport};
use super::online_probe::OnlineProbe;
use super::prepare::{Prepared, prepare};
use super::recipe::Recipe;
use super::run_folder::{RunConfig, RunFolder, read_config};
use super::run_lock::RunLock;
use super::same_data::Pictures;
use super::schedule::Schedule;
use super::staged_feed::StagedFeed;
use super::trainer::{Trainer, gives_up};
use crate::data::Skipped;
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::ops::optimizer::{METRICS_RING, Metrics};
use crate::program::Device;
use crate::report::metrics::Record;
use crate::setting::Setting;
use crate::tensor::TensorMap;

/// Where a run begins.
pub enum Start {
    /// Fresh parameters except for the given ones, in a new folder.
    New(PathBuf, TensorMap),
    /// A run's folder and the checkpoint to go on from.
    Resume(PathBuf, Box<Checkpoint>),
}

/// Trains as `recipe` says until its end or until `stop` is set, and reports to `observe`.
///
/// # Errors
/// [`Error::Diverged`] after several steps in a row that were not finite, and if what a checkpoint would hold or what the
/// model yields in the end is not; otherwise what the data, the device or the disk refuses. Checkpoints written before
/// stay valid.
pub fn train(
    device: &Device,
    recipe: &Recipe,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome> {
    recipe.validate()?;
    device.check_precision(recipe.precision)?;
    let mut run = Run::prepare(device, recipe, start, observe)?;
    run.report_unreadable(observe)?;
    observe(Event::Started {
        step: run.trainer.step(),
        folder: run.folder.path(),
        derived: &run.derived,
    });
    while run.trainer.step() < run.schedule.total_steps && !stop.load(Ordering::Relaxed) {
        run.train_step()?;
        run.collect_metrics(run.lag(), observe)?;
        run.report_unreadable(observe)?;
        run.periodic_work(observe)?;
        run.report_undisplayed(observe);
    }
    run.finish(observe)
}

/// What is said of a run that goes on elsewhere, or with other numbers.
fn changes(before: &Derived, now: &Derived) -> Vec<String> {
    let (old, new) = (&before.adapter, &now.adapter);
    let elsewhere = (old != new).then(|| {
        format!("was on {old}, goes on on {new}: the same run, but no longer the same bits")
    });
    let differences = before.differences(now);
    let other =
        (!differences.is_empty()).then(|| format!("since before: {}", differences.join("; ")));
    elsewhere.into_iter().chain(other).collect()
}

/// Whether a run that ends with the step of `line` would not have recovered, as [`gives_up`] tells it while there are
/// steps left: one skipped step may be a bad batch.
fn ends_badly(line: &Metrics) -> bool {
    line.skipped_in_a_row > 1 && line.loss_scale <= 1.0
}

/// Everything that a running loop holds.
struct Run<'a> {
    device: &'a Device,
    recipe: &'a Recipe,
    derived: Derived,
    schedule: Schedule,
    folder: RunFolder,
    pictures: Pictures,
    trainer: Trainer,
    feed: StagedFeed,
    assessment: Box<dyn Assessment>,
    probe: Option<OnlineProbe>,
    /// First step whose metrics have not been collected.
    uncollected: u64,
    skipped: u32,
    /// Steps skipped in a row up to the last one whose metrics were collected.
    skipped_in_a_row: u32,
    /// The metrics that were collected last.
    last_line: Option<Metrics>,
    /// Whether a checkpoint waits for a step that is not skipped.
    save_waits: bool,
    seconds_before: f64,
    began: Instant,
    reported: Instant,
    /// Steps done then, and the speed up to them.
    reported_step: u64,
    images_per_second: f64,
    /// Pictures that could not be read, until they are reported; and the names of those that were.
    unreported: Vec<Skipped>,
    named_files: BTreeSet<String>,
    last_measured: Option<(u64, Measured)>,
    last_saved: Option<(u64, PathBuf)>,
    last_picture: Option<(u64, PathBuf)>,
}

impl<'a> Run<'a> {
    fn prepare(
        device: &'a Device,
        recipe: &'a Recipe,
        start: Start,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self> {
        let (path, given, resumed, lock) = match start {
            Start::New(path, given) => {
                RunFolder::check_new(&path)?;
                (path, given, None, None)
            }
            Start::Resume(path, checkpoint) => {
                let lock = RunLock::take(&path)?;
                (path, TensorMap::new(), Some(checkpoint), Some(lock))
            }
        };
        let Prepared { trainer, feed, assessment, normalization, pictures, mut derived, skipped } =
            prepare(device, recipe, given, resumed.as_deref(), observe)?;
        let probe = recipe.probe.as_ref().map(|probe| {
            let own = resumed.as_ref().and_then(|checkpoint| checkpoint.probe.as_deref());
            let (store, schedule) = (trainer.weights(), derived.schedule);
            OnlineProbe::new(device, recipe, probe, store, &normalization, schedule, own)
        });
        let probe = probe.transpose()?;
        derived.notes.extend(probe.iter().flat_map(OnlineProbe::notes).cloned());
        // A folder without a readable one is older than the file, or was begun by hand.
        let before = resumed.as_ref().and_then(|_| read_config(&path).ok());
        let changes = before.iter().flat_map(|before| changes(before.latest(), &derived));
        let changes: Vec<String> = changes.collect();
        derived.notes.extend(changes);
        // Only now, so that what is refused leaves nothing behind.
        let folder = match lock {
            Some(lock) => RunFolder::resume(&path, lock, trainer.step())?,
            None => RunFolder::create(&path)?,
        };
        let (asked, now) = (recipe.clone(), derived.clone());
        folder.write_config(&match before {
            Some(before) => before.go_on(asked, trainer.step(), now),
            None => RunConfig::new(asked, now),
        })?;
        let state = block_on(trainer.store().state())?;
        let feed = StagedFeed::start(device, feed, trainer.train_step().image_bytes())?;
        Ok(Self {
            device,
            recipe,
            schedule: derived.schedule,
            derived,
            folder,
            pictures,
            feed,
            assessment,
            probe,
            uncollected: trainer.step(),
            reported_step: trainer.step(),
            trainer,
            skipped: state.skipped,
            skipped_in_a_row: state.skipped_in_a_row,
            last_line: None,
            save_waits: false,
            seconds_before: resumed.as_ref().map_or(0.0, |c| c.meta.seconds),
            began: Instant::now(),
            reported: Instant::now(),
            images_per_second: 0.0,
            unreported: skipped,
            named_files: BTreeSet::new(),
            last_measured: None,
            last_saved: None,
            last_picture: None,
        })
    }

    fn train_step(&mut self) -> Result<()> {
        let lr = self.schedule.at(self.trainer.step()) as f32;
        for index in 0..self.recipe.grad_accum {
            let batch = self.feed.next_batch()?;
            self.trainer.run_staged(index, lr, batch);
        }
        match &mut self.probe {
            Some(probe) => probe.follow(self.trainer.step()),
            None => Ok(()),
        }
    }

    /// Steps between two readings of the metrics: the device runs ahead by at most twice as many.
    fn lag(&self) -> u64 {
        if self.device.runs_behind() { METRICS_RING as u64 / 4 } else { 1 }
    }

    /// Once `lag` steps are done, takes in the metrics asked for last time and asks for newer ones.
    fn collect_metrics(&mut self, lag: u64, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let asked = self.trainer.has_requested_metrics();
        if self.trainer.step() - self.uncollected < lag * if asked { 2 } else { 1 } {
            return Ok(());
        }
        let lines = self.requested_metrics(self.uncollected)?;
        self.take_lines(&lines, observe)?;
        self.trainer.request_metrics();
        Ok(())
    }

    /// Takes in all metrics up to the last step.
    fn flush_metrics(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let mut lines = self.requested_metrics(self.uncollected)?;
        let next = self.uncollected + lines.len() as u64;
        if next < self.trainer.step() {
            self.trainer.request_metrics();
            lines.extend(self.requested_metrics(next)?);
        }
        self.take_lines(&lines, observe)
    }

    /// The metrics from step `first` on that were asked for, if any were.
    fn requested_metrics(&mut self, first: u64) -> Result<Vec<Metrics>> {
        match self.trainer.has_requested_metrics() {
            true => block_on(self.trainer.metrics(first)),
            false => Ok(Vec::new()),
        }
    }

    /// Takes in the metrics of steps that were done since the last time, at one speed.
    fn take_lines(&mut self, lines: &[Metrics], observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        // Metrics come one reading behind; the last ones come without a step.
        let done = self.trainer.step() - self.reported_step;
        if done > 0 {
            let images = done * self.recipe.effective_batch() as u64;
            self.images_per_second = images as f64 / self.reported.elapsed().as_secs_f64();
            (self.reported, self.reported_step) = (Instant::now(), self.trainer.step());
        }
        for line in lines {
            self.take_line(line, self.images_per_second, observe)?;
        }
        Ok(())
    }

    fn take_line(
        &mut self,
        line: &Metrics,
        images_per_second: f64,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        let step = u64::from(line.step) + 1;
        self.uncollected = step;
        let epoch = step as f64 / self.derived.steps_per_epoch as f64;
        self.skipped = line.skipped;
        self.skipped_in_a_row = line.skipped_in_a_row;
        self.last_line = Some(*line);
        let loss_scale =
            (self.recipe.precision == Precision::F16).then_some(f64::from(line.loss_scale));
        self.folder.record(&Record {
            step,
            epoch,
            loss: Some(f64::from(line.loss)),
            learning_rate: Some(f64::from(line.lr)),
            grad_norm: Some(f64::from(line.grad_norm)),
            loss_scale,
            images_per_second: Some(images_per_second),
            seconds: Some(self.seconds()),
            ..Default::default()
        })?;
        if line.applied == 0 {
            observe(Event::Skipped { step, in_a_row: line.skipped_in_a_row, loss_scale });
            if gives_up(line) {
                return Err(self.diverged(line)?);
            }
        }
        observe(Event::Step(StepReport {
            step,
            total_steps: self.schedule.total_steps,
            epoch,
            loss: f64::from(line.loss),
            lr: f64::from(line.lr),
            grad_norm: f64::from(line.grad_norm),
            images_per_second,
        }));
        Ok(())
    }

    fn diverged(&self, line: &Metrics) -> Result<Error> {
        block_on(self.trainer.diverged(line, &self.kept()?))
    }

    /// What the folder has to go on from, in words: of a run that went on, from before, too.
    fn kept(&self) -> Result<String> {
        let checkpoints = checkpoints::list(&checkpoints::folder_of(self.folder.path()))?;
        Ok(match checkpoints.first() {
            Some(newest) => format!("the newest checkpoint is {}", newest.display()),
            None => "no checkpoint was written yet".to_owned(),
        })
    }

    /// Names pictures that could not be read and were not named before.
    fn report_unreadable(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        self.unreported.extend(self.feed.newly_skipped());
        let named = &mut self.named_files;
        let files: Vec<String> = std::mem::take(&mut self.unreported)
            .into_iter()
            .filter(|file| named.insert(file.name.clone()))
            .map(|file| format!("{}: {}", file.name, file.problem))
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        if self.recipe.data.strict {
            return Err(Error::config(Setting::Strict, files.join("; ")));
        }
        observe(Event::Unreadable { files });
        Ok(())
    }

    /// Names plots, pictures and events that could not be written and were not named before.
    fn report_undisplayed(&mut self, observe: &mut dyn FnMut(Event<'_>)) {
        for problem in self.folder.take_problems() {
            observe(Event::Undisplayed { problem });
        }
    }

    fn is_due(&self, every_epochs: f64) -> bool {
        let steps = (every_epochs * self.derived.steps_per_epoch as f64).round() as u64;
        every_epochs > 0.0 && self.trainer.step().is_multiple_of(steps.max(1))
    }

    fn periodic_work(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let recipe = self.recipe;
        if self.is_due(recipe.eval_every) {
            self.evaluate(observe)?;
        }
        if self.is_due(recipe.pictures_every) {
            self.draw_picture(observe)?;
        }
        self.save_waits |= self.is_due(recipe.checkpoint_every);
        if self.save_waits {
            self.flush_metrics(observe)?;
            // What only leads to steps that are skipped must not push out a checkpoint that can be gone on from.
            if self.skipped_in_a_row == 0 {
                self.save(observe)?;
                self.remove_old_checkpoints()?;
                self.save_waits = false;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Measured> {
        self.flush_metrics(observe)?;
        let step = self.trainer.step();
        if let Some((_, measured)) =
            self.last_measured.filter(|&(measured_at, _)| measured_at == step)
        {
            return Ok(measured);
        }
        let mut measured = self.assessment.measure()?;
        let meaningless =
            |who, pictures, measured| Event::Meaningless { step, who, pictures, measured };
        if let Some(probe) = &mut self.probe {
            let probed = probe.measure()?;
            if probed.meaningless > 0 {
                observe(meaningless("the probe", probed.meaningless, probe.held_out_images()));
            }
            measured.accuracy = probed.accuracy;
        }
        self.last_measured = Some((step, measured));
        if measured.meaningless > 0 {
            observe(meaningless("the model", measured.meaningless, self.assessment.len()));
            return Ok(measured);
        }
        self.folder.record(&Record {
            step,
            epoch: step as f64 / self.derived.steps_per_epoch as f64,
            held_out_loss: Some(measured.loss),
            accuracy: measured.accuracy.map(|accuracy| accuracy.share),
            held_out_psnr: measured.fidelity.map(|fidelity| fidelity.model),
            harmonic_psnr: measured.fidelity.map(|fidelity| fidelity.harmonic),
            mean_color_psnr: measured.fidelity.map(|fidelity| fidelity.mean_color),
            seconds: Some(self.seconds()),
            ..Default::default()
        })?;
        self.folder.plot(&self.derived.train_data);
        let Measured { loss, accuracy, fidelity, .. } = measured;
        observe(Event::HeldOut { step, loss, accuracy, fidelity });
        Ok(measured)
    }

    fn draw_picture(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Option<PathBuf>> {
        self.flush_metrics(observe)?;
        let step = self.trainer.step();
        if let Some((drawn_at, path)) = &self.last_picture
            && *drawn_at == step
        {
            return Ok(Some(path.clone()));
        }
        let Some(picture) = self.assessment.picture()? else { return Ok(None) };
        let name = self.assessment.picture_name();
        let Some(path) = self.folder.picture(name, step, &picture) else { return Ok(None) };
        self.last_picture = Some((step, path.clone()));
        observe(Event::Picture { path: path.clone() });
        Ok(Some(path))
    }

    /// Writes a checkpoint, unless nothing could go on from it.
    fn save(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
        self.flush_metrics(observe)?;
        if let Some((step, path)) = &self.last_saved
            && *step == self.trainer.step()
        {
            return Ok(path.clone());
        }
        let mut checkpoint = block_on(self.trainer.checkpoint(
            &self.derived.normalization,
            self.feed.cursor(),
            self.seconds(),
        ))?;
        self.pictures.describe(&mut checkpoint.meta);
        if let Some(probe) = &self.probe {
            checkpoint.probe = Some(Box::new(block_on(probe.checkpoint(self.seconds()))?));
        }
        if let Some(tensor) = checkpoint.unusable() {
            let problem = format!(
                "after step {} {tensor} holds what no run can go on with, and no checkpoint is written of that; {}",
                self.trainer.step(),
                self.kept()?,
            );
            return Err(self.trainer.failed(problem));
        }
        self.folder.sync()?;
        let folder = checkpoints::folder_of(self.folder.path());
        let path = checkpoints::write(checkpoint, &folder)?;
        self.last_saved = Some((self.trainer.step(), path.clone()));
        observe(Event::Saved { step: self.trainer.step(), path: path.clone() });
        Ok(path)
    }

    fn remove_old_checkpoints(&self) -> Result<()> {
        let folder = checkpoints::folder_of(self.folder.path());
        checkpoints::remove_old(&folder, self.recipe.keep_checkpoints)
    }

    /// Checks that what is left in the end is worth using.
    fn require_good_end(&self, measured: &Measured) -> Result<()> {
        if let Some(line) = self.last_line.filter(ends_badly) {
            return Err(self.diverged(&line)?);
        }
        if measured.meaningless == 0 {
            return Ok(());
        }
        let problem = format!(
            "after step {} what the model yields for {} of {} held-out pictures is not finite; {}",
            self.trainer.step(),
            measured.meaningless,
            self.assessment.len(),
            self.kept()?,
        );
        Err(self.trainer.failed(problem))
    }

    fn finish(mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
        self.flush_metrics(observe)?;
        // The work first, then what shows it: a second interruption loses pictures only.
        let checkpoint = self.save(observe)?;
        let training = self.began.elapsed();
        let measured = self.evaluate(observe)?;
        let picture = self.draw_picture(observe)?;
        self.folder.plot(&self.derived.train_data);
        self.report_undisplayed(observe);
        self.require_good_end(&measured)?;
        // After skipped steps earlier checkpoints may be better: all stay.
        if self.skipped_in_a_row == 0 {
            self.remove_old_checkpoints()?;
        }
        Ok(Outcome {
            step: self.trainer.step(),
            complete: self.trainer.step() >= self.schedule.total_steps,
            checkpoint,
            held_out_loss: measured.loss,
            accuracy: measured.accuracy,
            fidelity: measured.fidelity,
            picture,
            seconds: self.seconds(),
            waiting: self.feed.waited().as_secs_f64() / training.as_secs_f64().max(1e-9),
            skipped: self.skipped,
        })
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }
}
