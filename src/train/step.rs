//! One optimisation step as recorded programs: forward, loss and backward of a batch, and the update.

use crate::config::{ModelConfig, PatchTarget};
use crate::error::{Error, Result};
use crate::kernels::{KernelTarget, Precision};
#[cfg(feature = "labels")]
use crate::model::classifier::ClassifierConfig;
#[cfg(feature = "labels")]
use crate::model::classify::{Input, classification_objective};
pub use crate::model::objective::MaskSource;
use crate::model::objective::{Purpose, masked_objective};
use crate::model::store::{ParamLayout, ParamStore};
#[cfg(feature = "labels")]
use crate::ops::optimizer::lars;
use crate::ops::optimizer::{
    METRICS_RING, METRICS_WORDS, Metrics, Optimizer, STATE, STATE_WORDS, STEP_WORDS, Scalars,
    StepTensors, adamw,
};
use crate::order::sort_indices;
#[cfg(feature = "native")]
use crate::program::Staged;
use crate::program::{Device, Plan, Program, ReadBack, Recorder};
use crate::remedy::Remedy;
use crate::setting::Setting;

/// What is learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Masked pre-training.
    Masked {
        /// The model.
        model: ModelConfig,
        /// Where masks come from.
        masks: MaskSource,
    },
    /// Classification.
    #[cfg(feature = "labels")]
    Classify {
        /// The classifier.
        classifier: ClassifierConfig,
        /// What it is fed with.
        input: Input,
    },
}

/// Sizes and constants that a step is recorded for.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// What is learned.
    pub task: Task,
    /// Images per batch, B.
    pub batch_size: usize,
    /// Batches whose gradients make one update.
    pub grad_accum: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Factor on the learning rate from each of a classifier's blocks to the one before it, the head
    /// having 1 (Clark et al. 2020); for AdamW. 1 is the same rate everywhere.
    pub layer_decay: f32,
    /// Whether the backward pass computes what lies inside the blocks again instead of keeping it: less
    /// memory, more time, the same bits.
    pub recompute: bool,
    /// How weights and activations are kept in the computation; parameters, their gradients and moments are
    /// kept in f32.
    pub precision: Precision,
}

/// One batch of a step. What the recorded task does not take is not used.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchData<'a> {
    /// `B·C·H·W` normalised pixels, or `B·D` values with [`Input::Features`].
    pub images: &'a [f32],
    /// [`MaskSource::Generated`], and dropout: number of each sample in its data set.
    pub sample_ids: &'a [u32],
    /// [`MaskSource::Given`]: `B·L` values.
    pub noise: &'a [f32],
    /// [`PatchTarget::Tokens`]: `B·L` tokens.
    pub tokens: &'a [u32],
    /// [`Task::Classify`]: `B·classes` probabilities.
    pub targets: &'a [f32],
    /// [`Task::Classify`] with drop-path: `connections·B` factors.
    pub drop_path: &'a [f32],
}

impl Task {
    /// Checks that what the model drops can be dropped.
    fn check_dropout(&self) -> Result<()> {
        let model = match self {
            Self::Masked { model, .. } => model,
            #[cfg(feature = "labels")]
            Self::Classify { classifier, .. } => &classifier.model,
        };
        if cfg!(feature = "dropout") || model.dropout == 0.0 {
            return Ok(());
        }
        Err(Error::Config {
            setting: Setting::Dropout,
            problem: "in browsers on WebGPU only".to_owned(),
            remedies: vec![Remedy::off(Setting::Dropout)],
        })
    }

    /// The buffer of [`BatchData::images`].
    fn images_label(&self) -> &'static str {
        match self {
            Self::Masked { .. } => "images",
            #[cfg(feature = "labels")]
            Self::Classify { input, .. } => input.label(),
        }
    }

    /// Uploads the batch, but for its images, to the program that was recorded for this task.
    fn upload(&self, program: &Program, batch: BatchData<'_>) {
        if program.has_buffer("sample_ids") {
            program.write("sample_ids", batch.sample_ids);
        }
        match self {
            Self::Masked { model, masks } => {
                if *masks == MaskSource::Given {
                    program.write("noise", batch.noise);
                }
                if let PatchTarget::Tokens { .. } = model.target {
                    program.write("tokens", batch.tokens);
                }
            }
            #[cfg(feature = "labels")]
            Self::Classify { classifier, .. } => {
                program.write("targets", batch.targets);
                if classifier.drop_path > 0.0 {
                    program.write("drop_path", batch.drop_path);
                }
            }
        }
    }
}

impl StepConfig {
    /// Records forward, loss and backward of one batch.
    pub fn record_batch(&self, target: impl Into<KernelTarget>, layout: &ParamLayout) -> Recorder {
        let mut rec = Recorder::new(target, true);
        rec.set_recompute(self.recompute);
        rec.set_precision(self.precision);
        layout.declare(&mut rec, true);
        let (batch, accumulated) = (self.batch_size, self.grad_accum);
        let loss = match &self.task {
            Task::Masked { model, masks } => {
                debug_assert!(model.num_masked() > 0, "without masked patches there is no loss");
                let purpose = Purpose::Training { accumulated };
                masked_objective(&mut rec, model, batch, *masks, purpose).loss
            }
            #[cfg(feature = "labels")]
            Task::Classify { classifier, input } => {
                classification_objective(&mut rec, classifier, [batch, accumulated], *input)
            }
        };
        rec.clear_first(loss);
        rec.backward();
        rec
    }

    /// Records the update.
    pub fn record_update(&self, target: impl Into<KernelTarget>, layout: &ParamLayout) -> Recorder {
        let mut rec = Recorder::new(target, false);
        rec.set_precision(self.precision);
        rec.set_scope("optimizer");
        #[cfg_attr(not(feature = "labels"), expect(unused_mut, reason = "all have one rate"))]
        let mut slabs = layout.slab_tensors(&mut rec, self.optimizer.ema().is_some());
        #[cfg(feature = "labels")]
        if let Task::Classify { classifier, .. } = &self.task {
            let last = classifier.model.encoder.depth + 1;
            for (slab, group) in slabs.iter_mut().zip(layout.slab_groups()) {
                slab.lr_scale = self.layer_decay.powi((last - group) as i32);
            }
        }
        let tensors = StepTensors {
            step: rec.external("step", [STEP_WORDS]),
            state: rec.external(STATE, [STATE_WORDS]),
            loss: rec.external("loss", [1]),
            metrics: rec.external("metrics", [METRICS_RING, METRICS_WORDS]),
        };
        match self.optimizer {
            Optimizer::AdamW(config) => adamw(&mut rec, config, &slabs, tensors),
            #[cfg(feature = "labels")]
            Optimizer::Lars(config) => {
                let params = layout.lars_tensors(&mut rec);
                lars(&mut rec, config, &slabs, &params, tensors);
            }
        }
        rec
    }

    /// Plans of both programs, without a device.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] if a tensor exceeds `max_binding` bytes.
    pub fn plan(
        &self,
        target: &KernelTarget,
        layout: &ParamLayout,
        max_binding: u64,
    ) -> Result<[Plan; 2]> {
        Ok([
            Plan::new(&self.record_batch(target, layout), max_binding)?,
            Plan::new(&self.record_update(target, layout), max_binding)?,
        ])
    }
}

/// Held-out loss with fixed masks: the forward pass and the loss alone.
pub struct EvalStep {
    program: Program,
    task: Task,
}

impl EvalStep {
    /// Records and builds it for `batch` images in `precision`, which must be the store's if it is f16.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`].
    pub fn new(
        device: &Device,
        model: &ModelConfig,
        masks: MaskSource,
        batch: usize,
        store: &ParamStore,
        precision: Precision,
    ) -> Result<Self> {
        let program = Program::record(device, store.buffers(), |target| {
            let mut rec = Recorder::new(target, false);
            rec.set_precision(precision);
            store.layout().declare(&mut rec, false);
            let objective = masked_objective(&mut rec, model, batch, masks, Purpose::Evaluation);
            rec.clear_first(objective.loss);
            rec
        })?;
        Ok(Self { program, task: Task::Masked { model: model.clone(), masks } })
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
        if self.program.has_buffer("step") {
            self.program.write("step", &[scalars]);
        }
        self.program.write(self.task.images_label(), batch.images);
        self.task.upload(&self.program, batch);
        self.program.submit();
        Ok(self.program.read::<f32>("loss").await?[0])
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
    /// Records and builds it on the parameters of `store`, which must be made for training, and have a moving
    /// average where the optimiser keeps one.
    ///
    /// # Errors
    /// [`Error::Config`] for dropout in a build without; [`Error::DoesNotFit`] or [`Error::Device`].
    pub fn new(device: &Device, config: StepConfig, store: &ParamStore) -> Result<Self> {
        config.task.check_dropout()?;
        let record = |target| config.record_batch(target, store.layout());
        let batch = Program::record(device, store.buffers(), record)?;
        let mut shared = store.buffers().clone();
        shared.insert("loss".to_owned(), batch.buffer("loss").clone());
        if batch.has_buffer("step") {
            shared.insert("step".to_owned(), batch.buffer("step").clone());
        }
        let record = |target| config.record_update(target, store.layout());
        let update = Program::record(device, &shared, record)?;
        let metrics = ReadBack::new(device, (4 * METRICS_RING * METRICS_WORDS) as u64)?;
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

    /// Bytes of a batch's images.
    pub fn image_bytes(&self) -> u64 {
        self.batch.buffer(self.config.task.images_label()).bytes()
    }

    /// Uploads and runs one of the step's batches, `index` of `grad_accum`; the last one also
    /// updates the parameters. One submission; returns at once.
    ///
    /// # Panics
    /// If a slice is too long for its buffer.
    pub fn run_batch(&self, index: usize, scalars: Scalars, batch: BatchData<'_>) {
        self.batch.write(self.config.task.images_label(), batch.images);
        Program::submit_all(&self.prepare(index, scalars, batch));
    }

    /// The same with images that are in staging memory already, instead of `batch.images`.
    ///
    /// # Panics
    /// If there is too much of something for its buffer.
    #[cfg(feature = "native")]
    pub fn run_staged(&self, index: usize, scalars: Scalars, images: Staged, batch: BatchData<'_>) {
        let programs = self.prepare(index, scalars, batch);
        Program::submit_with(&programs, images, self.config.task.images_label());
    }

    /// Uploads all but the images, and says what to run, with the flag whether to clear gradients.
    fn prepare(
        &self,
        index: usize,
        scalars: Scalars,
        batch: BatchData<'_>,
    ) -> Vec<(&Program, bool)> {
        self.config.task.upload(&self.batch, batch);
        // Where something is drawn, both programs share this buffer.
        self.update.write("step", &[scalars]);
        let mut programs = vec![(&self.batch, index == 0)];
        if index + 1 == self.config.grad_accum {
            programs.push((&self.update, false));
        }
        programs
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
        let lines: Vec<Metrics> = bytemuck::pod_collect_to_vec(&bytes);
        // A line never written has made no update and skipped none.
        let is_asked = |line: &Metrics| line.step >= first && line.updates + line.skipped > 0;
        let mut order: Vec<usize> = (0..lines.len()).filter(|&i| is_asked(&lines[i])).collect();
        sort_indices(&mut order, &|a, b| lines[a].step.cmp(&lines[b].step));
        Ok(order.into_iter().map(|i| lines[i]).collect())
    }
}
