//! One optimisation step of masked pre-training as recorded programs: forward, loss and backward of
//! a batch, and the update.

use crate::config::ModelConfig;
use crate::error::Result;
use crate::gpu::{Gpu, ReadBack, Tier};
pub use crate::model::objective::MaskSource;
use crate::model::objective::masked_objective;
use crate::model::store::{ParamLayout, ParamStore, STATE};
use crate::ops::optim::{
    AdamW, METRICS_RING, METRICS_WORDS, Metrics, STATE_WORDS, STEP_WORDS, Scalars, adamw,
};
use crate::program::{Plan, Program, Recorder};

/// Sizes and constants that a step is recorded for.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// The model.
    pub model: ModelConfig,
    /// Images per batch, B.
    pub batch_size: usize,
    /// Batches whose gradients make one update.
    pub grad_accum: usize,
    /// The optimiser.
    pub optimizer: AdamW,
    /// Where masks come from.
    pub masks: MaskSource,
}

/// One batch of a step.
#[derive(Debug, Clone, Copy)]
pub struct BatchData<'a> {
    /// `B·C·H·W` normalised pixels.
    pub images: &'a [f32],
    /// [`MaskSource::Generated`]: number of each sample in its data set. Not used otherwise.
    pub sample_ids: &'a [u32],
    /// [`MaskSource::Given`]: `B·L` values. Not used otherwise.
    pub noise: &'a [f32],
}

impl StepConfig {
    /// Records forward, loss and backward of one batch.
    pub fn record_batch(&self, tier: Tier, layout: &ParamLayout) -> Recorder {
        let config = &self.model;
        let mut rec = Recorder::new(tier, true);
        layout.declare(&mut rec, true);
        let objective =
            masked_objective(&mut rec, config, self.batch_size, self.masks, self.grad_accum);
        rec.clear_first(objective.loss);
        rec.backward();
        debug_assert!(config.num_masked() > 0, "without masked patches there is no loss");
        rec
    }

    /// Records the update.
    pub fn record_update(&self, tier: Tier, layout: &ParamLayout) -> Recorder {
        let mut rec = Recorder::new(tier, false);
        rec.set_scope("optimizer");
        let slabs = layout.slab_tensors(&mut rec);
        let step = rec.external("step", [STEP_WORDS]);
        let state = rec.external(STATE, [STATE_WORDS]);
        let loss = rec.external("loss", [1]);
        let metrics = rec.external("metrics", [METRICS_RING, METRICS_WORDS]);
        adamw(&mut rec, self.optimizer, &slabs, [step, state, loss, metrics]);
        rec
    }

    /// Plans of both programs, without a device.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] if a tensor exceeds `max_binding` bytes.
    pub fn plan(&self, tier: Tier, layout: &ParamLayout, max_binding: u64) -> Result<[Plan; 2]> {
        Ok([
            Plan::new(&self.record_batch(tier, layout), max_binding)?,
            Plan::new(&self.record_update(tier, layout), max_binding)?,
        ])
    }
}

/// Held-out loss with fixed masks: the forward pass and the loss alone.
pub struct EvalStep {
    program: Program,
    masks: MaskSource,
}

impl EvalStep {
    /// Records and builds it; `config.grad_accum` does not matter.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`].
    pub fn new(gpu: &Gpu, config: &StepConfig, store: &ParamStore) -> Result<Self> {
        let mut rec = Recorder::new(gpu.tier(), false);
        store.layout().declare(&mut rec, false);
        let objective =
            masked_objective(&mut rec, &config.model, config.batch_size, config.masks, 1);
        rec.clear_first(objective.loss);
        let program = Program::build(gpu, &rec, store.buffers())?;
        Ok(Self { program, masks: config.masks })
    }

    /// The program, for timing it.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The batch's loss.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn run(&self, scalars: Scalars, batch: BatchData<'_>) -> Result<f32> {
        upload(&self.program, self.masks, scalars, batch);
        self.program.submit();
        Ok(self.program.read::<f32>("loss").await?[0])
    }
}

fn upload(program: &Program, masks: MaskSource, scalars: Scalars, batch: BatchData<'_>) {
    program.write("images", batch.images);
    match masks {
        MaskSource::Given => program.write("noise", batch.noise),
        MaskSource::Generated => {
            program.write("step", &[scalars]);
            program.write("sample_ids", batch.sample_ids);
        }
    }
}

/// A training step on a device.
pub struct TrainStep {
    config: StepConfig,
    batch: Program,
    update: Program,
    metrics: ReadBack,
}

impl TrainStep {
    /// Records and builds it on the parameters of `store`, which must be made for training.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`].
    pub fn new(gpu: &Gpu, config: StepConfig, store: &ParamStore) -> Result<Self> {
        let batch = config.record_batch(gpu.tier(), store.layout());
        let batch = Program::build(gpu, &batch, store.buffers())?;
        let update = config.record_update(gpu.tier(), store.layout());
        let mut shared = store.buffers().clone();
        shared.insert("loss".to_owned(), batch.buffer("loss").clone());
        if config.masks == MaskSource::Generated {
            shared.insert("step".to_owned(), batch.buffer("step").clone());
        }
        let update = Program::build(gpu, &update, &shared)?;
        let metrics = ReadBack::new(gpu, (4 * METRICS_RING * METRICS_WORDS) as u64)?;
        Ok(Self { config, batch, update, metrics })
    }

    /// What it was recorded for.
    pub fn config(&self) -> &StepConfig {
        &self.config
    }

    /// The program of one batch and that of the update, for timing and diagnosis.
    pub fn programs(&self) -> [&Program; 2] {
        [&self.batch, &self.update]
    }

    /// Uploads and runs one of the step's batches, `index` of `grad_accum`; the last one also
    /// updates the parameters. One submission; returns at once.
    ///
    /// # Panics
    /// If a slice is too long for its buffer.
    pub fn run_batch(&self, index: usize, scalars: Scalars, batch: BatchData<'_>) {
        upload(&self.batch, self.config.masks, scalars, batch);
        let first = index == 0;
        if index + 1 < self.config.grad_accum {
            Program::submit_all(&[(&self.batch, first)]);
        } else {
            self.update.write("step", &[scalars]);
            Program::submit_all(&[(&self.batch, first), (&self.update, false)]);
        }
    }

    /// Begins to read the metrics of the last [`METRICS_RING`] steps; returns at once.
    pub fn request_metrics(&mut self) {
        let buffer = self.update.buffer("metrics");
        self.metrics.start(buffer, 0, buffer.bytes());
    }

    /// Whether metrics were asked for and not taken.
    pub fn has_requested_metrics(&self) -> bool {
        self.metrics.is_pending()
    }

    /// The metrics asked for with [`Self::request_metrics`], of steps from `first` on, in order.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn metrics(&mut self, first: u32) -> Result<Vec<Metrics>> {
        let bytes = self.metrics.finish().await?;
        let mut all: Vec<Metrics> = bytemuck::pod_collect_to_vec(&bytes);
        // A line never written has made no update and skipped none.
        all.retain(|line| line.step >= first && line.updates + line.skipped > 0);
        all.sort_by_key(|line| line.step);
        Ok(all)
    }
}
