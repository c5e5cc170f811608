//! The pre-training loop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pollster::block_on;

use super::checkpoint::Checkpoint;
use super::checkpoints;
use super::event::{Event, Outcome, StepReport};
use super::held_out::HeldOut;
use super::inputs::{normalization, open_data, open_loader};
use super::recipe::{Derived, Recipe};
use super::run_folder::{RunConfig, RunFolder};
use super::schedule::Schedule;
use super::step::MaskSource;
use super::trainer::{MAX_SKIPPED_IN_A_ROW, Trainer};
use crate::data::{Batch, Cursor, Loader, Normalization, Skipped, fixed_batch, fixed_indices};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::reconstruct::Reconstructor;
use crate::ops::optim::{METRICS_RING, Metrics};
use crate::program::Plan;
use crate::report::Picture;
use crate::report::grid::{RECONSTRUCTION_CAPTIONS, draw, reconstruction_row};
use crate::report::metrics::Record;
use crate::report::views::{Geometry, View};

/// Where a run begins.
pub enum Start {
    /// Fresh parameters, in a new folder.
    New(PathBuf),
    /// A run's folder and the checkpoint to go on from.
    Resume(PathBuf, Box<Checkpoint>),
}

/// Trains as `recipe` says until its end or until `stop` is set, and reports to `observe`.
///
/// # Errors
/// [`Error::Diverged`] after [`MAX_SKIPPED_IN_A_ROW`] steps that were not finite; otherwise what
/// the data, the device or the disk refuses. Checkpoints written before stay valid.
pub fn pretrain(
    gpu: &Gpu,
    recipe: &Recipe,
    start: Start,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Outcome> {
    recipe.validate()?;
    let mut run = Run::prepare(gpu, recipe, start)?;
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
    }
    run.finish(observe)
}

/// Everything that a running loop holds.
struct Run<'a> {
    gpu: &'a Gpu,
    recipe: &'a Recipe,
    derived: Derived,
    schedule: Schedule,
    folder: RunFolder,
    trainer: Trainer,
    loader: Loader,
    held_out: HeldOut,
    reconstructor: Reconstructor,
    pictures: Batch,
    /// First step whose metrics have not been collected.
    uncollected: u64,
    skipped: u32,
    seconds_before: f64,
    began: Instant,
    reported: Instant,
    /// Pictures that could not be read, until they are reported; and the names of those that were.
    unreported: Vec<Skipped>,
    named_files: BTreeSet<String>,
    last_held_out: Option<(u64, f64)>,
    last_saved: Option<(u64, PathBuf)>,
    last_pictures: Option<(u64, PathBuf)>,
}

impl<'a> Run<'a> {
    fn prepare(gpu: &'a Gpu, recipe: &'a Recipe, start: Start) -> Result<Self> {
        let model = &recipe.model;
        let (path, resumed) = match start {
            Start::New(path) => {
                RunFolder::check_new(&path)?;
                (path, None)
            }
            Start::Resume(path, checkpoint) => (path, Some(checkpoint)),
        };
        let split = open_data(recipe)?;
        let normalization = match &resumed {
            Some(checkpoint) => checkpoint.meta.normalization.clone(),
            None => normalization(recipe, split.train.as_ref())?,
        };
        let cursor = resumed.as_ref().map_or(Cursor::default(), |c| c.meta.cursor);
        let loader = open_loader(recipe, &split, &normalization, cursor)?;

        let trainer = Trainer::new(gpu, recipe, resumed.as_deref())?;
        let (store, train) = (trainer.store(), trainer.train_step());
        let source = &split.held_out;
        let count = recipe.data.held_out_images;
        let indices = fixed_indices(source.len(), count, recipe.seed);
        let held_out = HeldOut::new(
            gpu,
            train.config(),
            store,
            source,
            &normalization,
            &indices,
            recipe.seed,
        )?;
        let shown = indices.len().min(recipe.data.pictures.max(1));
        let (pictures, bad) =
            fixed_batch(source, &normalization, model.image_size, &indices[..shown])?;
        let unreported = held_out.skipped().iter().cloned().chain(bad).collect();
        let reconstructor = Reconstructor::new(gpu, model, shown, store, MaskSource::Generated)?;

        let schedule = recipe.schedule(loader.batches_per_epoch());
        let [batch, update] = train.programs().map(|program| program.plan());
        let derived = Derived {
            webmae: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: format!("{} ({})", gpu.adapter().name, gpu.adapter().driver),
            train_data: split.train.describe(),
            held_out_data: split.how.clone(),
            train_images: split.train.len(),
            held_out_images: held_out.len(),
            normalization,
            num_patches: model.num_patches(),
            len_keep: model.len_keep(),
            num_masked: model.num_masked(),
            encoder_tokens: model.encoder_tokens(),
            decoder_tokens: model.decoder_tokens(),
            parameters: store.layout().trainable(),
            effective_batch: recipe.effective_batch(),
            steps_per_epoch: recipe.steps_per_epoch(loader.batches_per_epoch()),
            schedule,
            flops_per_step: batch.flops * recipe.grad_accum as u64 + update.flops,
            device_bytes: Plan::total_bytes(&[batch, update]),
            dispatches_per_step: batch.dispatches * recipe.grad_accum + update.dispatches,
            mean_color_loss: block_on(held_out.mean_color_loss(gpu, model))?,
        };
        // Only now, so that what is refused leaves nothing behind.
        let folder = match &resumed {
            Some(checkpoint) => RunFolder::resume(&path, checkpoint.meta.step)?,
            None => RunFolder::create(&path)?,
        };
        folder.write_config(&RunConfig { recipe: recipe.clone(), derived: derived.clone() })?;
        let step = resumed.as_ref().map_or(0, |c| c.meta.step);
        let state = block_on(store.state())?;
        Ok(Self {
            gpu,
            recipe,
            derived,
            schedule,
            folder,
            trainer,
            loader,
            held_out,
            reconstructor,
            pictures,
            uncollected: step,
            skipped: state.skipped,
            seconds_before: resumed.as_ref().map_or(0.0, |c| c.meta.seconds),
            began: Instant::now(),
            reported: Instant::now(),
            unreported,
            named_files: BTreeSet::new(),
            last_held_out: None,
            last_saved: None,
            last_pictures: None,
        })
    }

    fn train_step(&mut self) -> Result<()> {
        let lr = self.schedule.at(self.trainer.step()) as f32;
        for index in 0..self.recipe.grad_accum {
            let batch = self.loader.next_batch()?;
            self.trainer.run_batch(index, lr, &batch);
            self.loader.recycle(batch);
        }
        Ok(())
    }

    /// Steps between two readings of the metrics: the device runs ahead by at most twice as many.
    fn lag(&self) -> u64 {
        if self.gpu.tier().is_cpu() { 1 } else { METRICS_RING as u64 / 4 }
    }

    /// Once `lag` steps are done, takes in the metrics asked for last time and asks for newer ones.
    fn collect_metrics(&mut self, lag: u64, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let asked = self.trainer.has_requested_metrics();
        if self.trainer.step() - self.uncollected < lag * if asked { 2 } else { 1 } {
            return Ok(());
        }
        self.take_metrics(observe)?;
        self.trainer.request_metrics();
        Ok(())
    }

    /// Takes in all metrics up to the last step.
    fn flush_metrics(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        self.take_metrics(observe)?;
        if self.uncollected < self.trainer.step() {
            self.trainer.request_metrics();
            self.take_metrics(observe)?;
        }
        Ok(())
    }

    fn take_metrics(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        if !self.trainer.has_requested_metrics() {
            return Ok(());
        }
        let lines = block_on(self.trainer.metrics(self.uncollected))?;
        let images = lines.len() * self.recipe.effective_batch();
        let images_per_second = images as f64 / self.reported.elapsed().as_secs_f64();
        self.reported = Instant::now();
        for line in lines {
            self.take_line(&line, images_per_second, observe)?;
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
        self.folder.record(&Record {
            step,
            epoch,
            loss: Some(f64::from(line.loss)),
            learning_rate: Some(f64::from(line.lr)),
            grad_norm: Some(f64::from(line.grad_norm)),
            images_per_second: Some(images_per_second),
            seconds: Some(self.seconds()),
            ..Default::default()
        })?;
        if line.applied == 0 {
            observe(Event::Skipped { step, in_a_row: line.skipped_in_a_row });
            if line.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW {
                return Err(self.diverged(step)?);
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

    fn diverged(&self, step: u64) -> Result<Error> {
        let kept = match &self.last_saved {
            Some((step, path)) => format!("the checkpoint of step {step} is {}", path.display()),
            None => "no checkpoint was written yet".to_owned(),
        };
        block_on(self.trainer.diverged(step, &kept))
    }

    /// Names pictures that could not be read and were not named before.
    fn report_unreadable(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        if self.loader.newly_skipped() > 0 {
            self.unreported.extend(self.loader.skipped());
        }
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
            return Err(Error::config("--strict", files.join("; ")));
        }
        observe(Event::Unreadable { files });
        Ok(())
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
            self.draw_pictures(observe)?;
        }
        if self.is_due(recipe.checkpoint_every) {
            self.save(observe)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<f64> {
        self.flush_metrics(observe)?;
        if let Some((_, loss)) = self.last_held_out.filter(|&(step, _)| step == self.trainer.step())
        {
            return Ok(loss);
        }
        let loss = block_on(self.held_out.loss())?;
        self.last_held_out = Some((self.trainer.step(), loss));
        self.folder.record(&Record {
            step: self.trainer.step(),
            epoch: self.trainer.step() as f64 / self.derived.steps_per_epoch as f64,
            held_out_loss: Some(loss),
            seconds: Some(self.seconds()),
            ..Default::default()
        })?;
        self.folder.plot(&self.derived.train_data)?;
        observe(Event::HeldOut { step: self.trainer.step(), loss });
        Ok(loss)
    }

    fn draw_pictures(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
        self.flush_metrics(observe)?;
        if let Some((step, path)) = &self.last_pictures
            && *step == self.trainer.step()
        {
            return Ok(path.clone());
        }
        let picture = self.reconstructions()?;
        let path = self.folder.pictures(self.trainer.step(), &picture)?;
        self.last_pictures = Some((self.trainer.step(), path.clone()));
        observe(Event::Pictures { path: path.clone() });
        Ok(path)
    }

    /// Fixed images with fixed masks: original, masked, reconstruction, with visible patches.
    fn reconstructions(&self) -> Result<Picture> {
        let model = &self.recipe.model;
        let geometry = Geometry::from(model);
        let Normalization { mean, std } = &self.derived.normalization;
        let batch = &self.pictures;
        let results = block_on(self.reconstructor.run(
            &batch.images,
            self.recipe.seed,
            &batch.sample_ids,
            &[],
        ))?;
        // Where pixels are normalised per patch, the view that does not use the answer.
        let view = if model.norm_pix_loss { View::VisibleStatistics } else { View::Raw };
        let mut rows = Vec::new();
        for (image, result) in batch.images.chunks_exact(model.image_len()).zip(&results) {
            let patches = geometry.patchify(image)?;
            let predicted = geometry.view(view, &result.predicted, &patches, &result.mask)?;
            let row = reconstruction_row(&geometry, image, &predicted, &result.mask, mean, std)?;
            rows.push(row);
        }
        draw(&RECONSTRUCTION_CAPTIONS, &rows)
    }

    fn save(&mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
        self.flush_metrics(observe)?;
        if let Some((step, path)) = &self.last_saved
            && *step == self.trainer.step()
        {
            return Ok(path.clone());
        }
        let checkpoint = block_on(self.trainer.checkpoint(
            &self.derived.normalization,
            self.loader.cursor(),
            self.seconds(),
        ))?;
        let folder = checkpoints::folder_of(self.folder.path());
        let path = checkpoints::write(checkpoint, &folder, self.recipe.keep_checkpoints)?;
        self.last_saved = Some((self.trainer.step(), path.clone()));
        observe(Event::Saved { step: self.trainer.step(), path: path.clone() });
        Ok(path)
    }

    fn finish(mut self, observe: &mut dyn FnMut(Event<'_>)) -> Result<Outcome> {
        self.flush_metrics(observe)?;
        // The work first, then what shows it: a second interruption loses pictures only.
        let checkpoint = self.save(observe)?;
        let training = self.began.elapsed();
        let held_out_loss = self.evaluate(observe)?;
        let pictures = self.draw_pictures(observe)?;
        self.folder.plot(&self.derived.train_data)?;
        Ok(Outcome {
            step: self.trainer.step(),
            complete: self.trainer.step() >= self.schedule.total_steps,
            checkpoint,
            held_out_loss,
            mean_color_loss: self.derived.mean_color_loss,
            pictures,
            seconds: self.seconds(),
            waiting: self.loader.waited().as_secs_f64() / training.as_secs_f64().max(1e-9),
            skipped: self.skipped,
        })
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }
}
