//! The passes of a model with given weights and masks, to measure them beside other packages.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, options};
use super::objective::load;
use crate::config::ModelConfig;
use crate::kernels::Precision;
use crate::model::objective::{MaskSource, Purpose, masked_objective};
use crate::ops::optimizer::{AdamW, Optimizer, Scalars};
use crate::program::{Program, Recorder};
use crate::train::step::{BatchData, StepConfig, Task, TrainStep};

/// A forward pass, or a training step, of a fixed number of images.
#[wasm_bindgen]
pub struct Workload {
    pass: Pass,
    image_values: usize,
    noise_values: usize,
}

enum Pass {
    Forward(Box<Program>),
    Train { step: Box<TrainStep>, lr: f32, done: u32 },
}

/// AdamW's constants, without decay.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Adam {
    lr: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
}

#[wasm_bindgen]
impl Workload {
    /// Makes the model of `config` (JSON: a preset's name, or a whole configuration), with the weights of a whole safetensors file or as it is
    /// initialised; with `adam` (JSON: `lr`, `beta1`, `beta2`, `eps`) to train it.
    ///
    /// # Errors
    /// `BadWeights`, `InvalidOption`, `OutOfMemory`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &WebDevice,
        weights: Option<Vec<u8>>,
        config: &str,
        batch: usize,
        adam: Option<String>,
    ) -> JsResult<Self> {
        let device = &device.device;
        let model = match serde_json::from_str::<String>(config) {
            Ok(name) => ModelConfig::preset(&name)?,
            Err(_) => options(config)?,
        };
        let store = load(device, weights.as_deref(), &model)?;
        let masks = MaskSource::Given;
        let (image_values, noise_values) = (batch * model.image_len(), batch * model.num_patches());
        let pass = match adam {
            None => {
                let mut rec = Recorder::new(device.target(), false);
                store.layout().declare(&mut rec, false);
                let objective =
                    masked_objective(&mut rec, &model, batch, masks, Purpose::Evaluation);
                rec.clear_first(objective.loss);
                rec.keep(objective.decoded.pred, "pred");
                Pass::Forward(Box::new(Program::build(device, &rec, store.buffers())?))
            }
            Some(adam) => {
                let Adam { lr, beta1, beta2, eps } = options(&adam)?;
                let (weight_decay, clip_norm, ema) = (0.0, 0.0, None);
                let adam = AdamW { beta1, beta2, eps, weight_decay, clip_norm, ema };
                let config = StepConfig {
                    task: Task::Masked { model, masks },
                    batch_size: batch,
                    grad_accum: 1,
                    optimizer: Optimizer::AdamW(adam),
                    layer_decay: 1.0,
                    recompute: false,
                    precision: Precision::F32,
                };
                let step = Box::new(TrainStep::new(device, config, &store)?);
                Pass::Train { step, lr, done: 0 }
            }
        };
        Ok(Self { pass, image_values, noise_values })
    }

    /// Values of the images of one pass, `B·C·H·W`.
    #[wasm_bindgen(getter, js_name = imageValues)]
    pub fn image_values(&self) -> usize {
        self.image_values
    }

    /// Values of the noise of one pass, `B·L`.
    #[wasm_bindgen(getter, js_name = noiseValues)]
    pub fn noise_values(&self) -> usize {
        self.noise_values
    }

    /// Kernel launches of one pass.
    #[wasm_bindgen(getter)]
    pub fn dispatches(&self) -> usize {
        match &self.pass {
            Pass::Forward(program) => program.dispatches(),
            Pass::Train { step, .. } => step.programs().map(Program::dispatches).iter().sum(),
        }
    }

    /// Runs `images [B, C, H, W]`, normalised, with the masks of `noise [B, L]`. Returns what was
    /// predicted for every patch, `[B, L, P]`, or the loss before the update, `[1]`.
    ///
    /// # Errors
    /// `OutOfMemory`, `DeviceLost`.
    pub async fn run(&mut self, images: &[f32], noise: &[f32]) -> JsResult<Vec<f32>> {
        match &mut self.pass {
            Pass::Forward(program) => {
                program.write("images", images);
                program.write("noise", noise);
                program.submit();
                Ok(program.read("pred").await?)
            }
            Pass::Train { step, lr, done } => {
                let scalars = Scalars { step: *done, lr: *lr, ..Scalars::default() };
                step.run_batch(0, scalars, BatchData { images, noise, ..Default::default() });
                step.request_metrics();
                let metrics = step.metrics(*done).await?;
                *done += 1;
                Ok(metrics.iter().map(|metrics| metrics.loss).collect())
            }
        }
    }
}
