//! A step on random parameters and images, run again and again.

use std::time::Duration;

use web_time::Instant;

use super::images::Images;
use super::workload::Mode;
use super::{LOOK_EVERY, STREAM};
use crate::config::ModelConfig;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{Precision, ProgramShapes};
use crate::model::init::init_params;
use crate::model::params::mae_params;
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::ops::optimizer::{Optimizer, Scalars};
use crate::philox::Rng;
use crate::program::{Device, Program, ReadBack};
use crate::train::paper::PRETRAIN_ADAMW;
use crate::train::step::{BatchData, EvalStep, MaskSource, StepConfig, Task, TrainStep};

/// Which step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSpec {
    /// The model.
    pub model: ModelConfig,
    /// Forward pass or training step.
    pub mode: Mode,
    /// Images per batch, at least 1.
    pub batch_size: usize,
    /// Whether a training step recomputes, see [`StepConfig::recompute`].
    pub recompute: bool,
    /// How weights and activations are kept.
    pub precision: Precision,
}

impl StepSpec {
    /// The shapes of the products and the attention of its training step.
    pub fn shapes(&self, gpu: &Gpu) -> ProgramShapes {
        let specs = mae_params(&self.model);
        let layout = ParamLayout::with_precision(specs, gpu.max_binding(), self.precision);
        self.train().record_batch(gpu.target(), &layout).shapes().clone()
    }

    /// The training step of this model, whatever the mode.
    pub fn train(&self) -> StepConfig {
        StepConfig {
            task: Task::Masked { model: self.model.clone(), masks: MaskSource::Generated },
            batch_size: self.batch_size,
            grad_accum: 1,
            optimizer: Optimizer::AdamW(PRETRAIN_ADAMW),
            layer_decay: 1.0,
            recompute: self.recompute,
            precision: self.precision,
        }
    }
}

/// A step on a device with everything it needs.
pub struct BenchStep {
    recorded: Recorded,
    sample_ids: Vec<u32>,
    /// Steps submitted so far.
    submitted: u32,
}

enum Recorded {
    /// With the readback of a loss, which is waited for before the next is asked for.
    Forward(Box<EvalStep>, ReadBack),
    /// With its images.
    Train(Box<TrainStep>, Images),
}

impl BenchStep {
    /// Records and builds what `spec` says.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the adapter lacks the precision, [`crate::Error::DoesNotFit`] or
    /// [`crate::Error::Device`].
    pub async fn new(device: &Device, spec: &StepSpec) -> Result<Self> {
        let StepSpec { model, mode, batch_size, precision, .. } = spec.clone();
        device.check_precision(precision)?;
        let specs = mae_params(&model);
        let layout = ParamLayout::with_precision(specs, device.max_binding(), precision);
        let store = ParamStore::new(device, layout, mode == Mode::Train)?;
        store.load(Role::Value, &init_params(store.layout().specs(), model.grid(), 0))?;
        let mut rng = Rng::new(0, [STREAM, 0, 0]);
        let images: Vec<f32> = (0..batch_size * model.image_len()).map(|_| rng.normal()).collect();
        let sample_ids: Vec<u32> = (0..batch_size as u32).collect();
        let recorded = match mode {
            Mode::Forward => {
                let masks = MaskSource::Generated;
                let step = EvalStep::new(device, &model, masks, batch_size, &store, precision)?;
                #[cfg(target_family = "wasm")]
                device.compile(|_, _| ()).await?;
                // Uploads everything once: a forward pass alone is what is timed.
                let batch =
                    BatchData { images: &images, sample_ids: &sample_ids, ..Default::default() };
                step.run(Scalars::default(), batch).await?;
                Recorded::Forward(Box::new(step), ReadBack::new(device, 4)?)
            }
            Mode::Train => {
                let step = TrainStep::new(device, spec.train(), &store)?;
                #[cfg(target_family = "wasm")]
                device.compile(|_, _| ()).await?;
                let images = Images::new(device, &step, images)?;
                Recorded::Train(Box::new(step), images)
            }
        };
        Ok(Self { recorded, sample_ids, submitted: 0 })
    }

    /// Runs it once, a training step with the copy of its images to the device. May have to wait for earlier ones, or
    /// until images are staged. Returns the time that submitting took.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn submit(&mut self) -> Result<Duration> {
        let number = self.submitted;
        self.submitted += 1;
        match &mut self.recorded {
            Recorded::Forward(step, loss) => {
                let began = Instant::now();
                step.program().submit();
                let took = began.elapsed();
                if number % LOOK_EVERY == LOOK_EVERY - 1 {
                    if loss.is_pending() {
                        loss.finish().await?;
                    }
                    loss.start(step.program().buffer("loss"), 0, 4);
                }
                Ok(took)
            }
            Recorded::Train(step, images) => {
                let scalars =
                    Scalars { epoch: number, step: number, lr: 1e-4, ..Scalars::default() };
                let batch = BatchData { sample_ids: &self.sample_ids, ..Default::default() };
                images.train(step, scalars, batch).await
            }
        }
    }

    /// Waits for the result of everything submitted; returns the loss of the last step.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn wait(&mut self) -> Result<f32> {
        match &mut self.recorded {
            Recorded::Forward(step, loss) => {
                if loss.is_pending() {
                    loss.finish().await?;
                }
                Ok(step.program().read::<f32>("loss").await?[0])
            }
            Recorded::Train(step, _) => {
                if step.has_requested_metrics() {
                    step.metrics(0).await?;
                }
                step.request_metrics();
                let metrics = step.metrics(self.submitted.saturating_sub(1)).await?;
                Ok(metrics.last().map_or(f32::NAN, |metrics| metrics.loss))
            }
        }
    }

    /// The programs of a step, in order.
    pub fn programs(&self) -> Vec<&Program> {
        match &self.recorded {
            Recorded::Forward(step, _) => vec![step.program()],
            Recorded::Train(step, _) => step.programs().to_vec(),
        }
    }

    /// FLOPs of the matrix products and attention of a step.
    pub fn flops(&self) -> u64 {
        self.programs().iter().map(|program| program.plan().flops).sum()
    }
}
