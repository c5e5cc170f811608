//! Training in the tab, with the step, the batches and the checkpoints of the command line.

use serde::Deserialize;
use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json, named, options};
use super::feed::Feed;
use super::info::{FileLayout, KIND, StepMetrics, StoredTensor, TrainerInfo};
use super::picture::{from_rgba, prepare};
use super::progress::Progress;
use super::reconstruction::{Reconstruction, Reconstructors};
use crate::config::ModelConfig;
use crate::data::augment::color::ColorJitter;
use crate::data::augment::resize::{resize, shorter_side_to};
use crate::data::{Augment, CropName, Cursor, Normalization};
use crate::error::Error;
use crate::kernels::Precision;
#[cfg(feature = "gpu")]
use crate::kernels::Products;
use crate::model::store::{ParamStore, Role};
use crate::ops::optimizer::Optimizer;
use crate::program::{Device, Plan};
use crate::tensor::TensorMap;
use crate::train::checkpoint::ROLES;
use crate::train::recipe::{DataRecipe, Length, NormalizationChoice, Recipe, overrule};
use crate::train::trainer::{Beginning, Trainer as Core, gives_up};
use crate::weights::describe;

/// Mean and deviation of grey pixels: those of ImageNet's photographs, averaged over colours.
const GREY: (f32, f32) = (0.449, 0.226);

/// What a checkpoint holds of each parameter, in the order of [`ROLES`].
const SAVED: [Role; 4] = [Role::Value, Role::Moment1, Role::Moment2, Role::Average];

/// A model in training.
#[wasm_bindgen]
pub struct Trainer {
    device: Device,
    core: Core,
    normalization: Normalization,
    feed: Feed,
    seconds: f64,
    reconstructors: Reconstructors,
    /// How the device divided products when the step was recorded.
    #[cfg(feature = "gpu")]
    products: Products,
}

/// The package's `TrainerOptions`; the types there say what the fields mean.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    preset: Option<String>,
    config: serde_json::Map<String, serde_json::Value>,
    batch_size: Option<usize>,
    grad_accum: Option<usize>,
    recompute: Option<bool>,
    precision: Option<Precision>,
    steps: Option<u64>,
    warmup_steps: Option<u64>,
    lr: Option<f64>,
    min_lr: Option<f64>,
    weight_decay: Option<f32>,
    betas: Option<[f32; 2]>,
    clip_grad: Option<f32>,
    ema: Option<f32>,
    crop: Option<CropName>,
    flip: Option<bool>,
    color_jitter: bool,
    seed: Option<u64>,
}

impl Options {
    fn model(&self) -> JsResult<ModelConfig> {
        let preset = ModelConfig::preset(self.preset.as_deref().unwrap_or("tiny"))?;
        let mut fields: serde_json::Map<_, _> = options(&json(&preset))?;
        fields.extend(self.config.clone());
        options(&json(&fields))
    }

    fn recipe(&self) -> JsResult<Recipe> {
        let mut recipe = Recipe::first_look(self.model()?, "pictures in a browser");
        if let Some(steps) = self.steps {
            recipe.set_length(Length::Steps(steps));
        }
        overrule(&mut recipe.warmup, self.warmup_steps.map(Length::Steps));
        overrule(&mut recipe.batch_size, self.batch_size);
        overrule(&mut recipe.grad_accum, self.grad_accum);
        overrule(&mut recipe.recompute, self.recompute);
        overrule(&mut recipe.precision, self.precision);
        recipe.lr = self.lr.or(recipe.lr);
        overrule(&mut recipe.min_lr, self.min_lr);
        overrule(&mut recipe.seed, self.seed);
        self.change_optimizer(&mut recipe.optimizer);
        self.change_pictures(&mut recipe.data, recipe.model.channels)?;
        recipe.validate()?;
        Ok(recipe)
    }

    fn change_optimizer(&self, optimizer: &mut Optimizer) {
        #[cfg_attr(
            not(feature = "labels"),
            expect(irrefutable_let_patterns, reason = "the only one")
        )]
        let Optimizer::AdamW(adamw) = optimizer else { return };
        if let Some(betas) = self.betas {
            [adamw.beta1, adamw.beta2] = betas;
        }
        overrule(&mut adamw.weight_decay, self.weight_decay);
        overrule(&mut adamw.clip_norm, self.clip_grad);
        adamw.ema = self.ema;
    }

    fn change_pictures(&self, data: &mut DataRecipe, channels: usize) -> JsResult<()> {
        let crop = self.crop.map(|name| name.crop(&Augment::pretrain()));
        overrule(&mut data.augment.crop, crop);
        overrule(&mut data.augment.flip, self.flip);
        data.augment.jitter = self.color_jitter.then(ColorJitter::paper);
        // The pictures are not there yet, to be measured.
        if data.normalization == NormalizationChoice::Measured {
            let grey = Normalization::new(vec![GREY.0; channels], vec![GREY.1; channels])?;
            data.normalization = NormalizationChoice::Given(grey);
        }
        Ok(())
    }
}

#[wasm_bindgen]
impl Trainer {
    /// Fresh parameters; `options` is JSON of `TrainerOptions`.
    ///
    /// # Errors
    /// `InvalidOption`, `OutOfMemory`.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &WebDevice, options_json: &str) -> JsResult<Self> {
        let recipe = options::<Options>(options_json)?.recipe()?;
        let normalization = match &recipe.data.normalization {
            NormalizationChoice::Given(normalization) => normalization.clone(),
            _ => Normalization::imagenet(),
        };
        let core = Core::new(&device.device, &recipe, Beginning::Fresh(&TensorMap::new()))?;
        Ok(Self::around(device, core, normalization, Cursor::default(), 0.0))
    }

    /// JSON of `TrainerInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        let recipe = self.core.recipe();
        let [batch, update] = self.core.train_step().programs().map(|program| program.plan());
        json(&TrainerInfo {
            device: KIND,
            config: &recipe.model,
            grid: recipe.model.grid(),
            parameters: self.core.store().layout().trainable(),
            step: self.core.step(),
            total_steps: recipe.schedule(self.feed.batches_per_epoch()).total_steps,
            batch_size: recipe.batch_size,
            grad_accum: recipe.grad_accum,
            recompute: recipe.recompute,
            precision: recipe.precision,
            lr: recipe.peak_lr(),
            ema: recipe.optimizer.ema(),
            seed: recipe.seed,
            images: self.feed.len(),
            flops_per_step: batch.flops * recipe.grad_accum as u64 + update.flops,
            device_bytes: Plan::total_bytes(&[batch, update]),
            normalization: &self.normalization,
        })
    }

    /// Adds an RGBA picture to learn from. Large ones are kept no larger than the crops need.
    ///
    /// # Errors
    /// `BadImage`, `InvalidOption`.
    #[wasm_bindgen(js_name = addImage)]
    pub fn add_image(&mut self, rgba: &[u8], width: usize, height: usize) -> JsResult<()> {
        let model = &self.core.recipe().model;
        let mut picture = from_rgba(rgba, width, height, model.channels)?;
        // Crops are mostly larger than half of a side.
        let side = 2 * model.image_size[0].max(model.image_size[1]);
        if width.min(height) > side {
            let (width, height) = shorter_side_to(side, (width, height));
            picture = resize(&picture, width, height);
        }
        self.feed.push(picture);
        Ok(())
    }

    /// Forgets all pictures.
    #[wasm_bindgen(js_name = clearImages)]
    pub fn clear_images(&mut self) {
        self.feed.clear();
    }

    /// One optimiser step; JSON of `StepMetrics`.
    ///
    /// # Errors
    /// `InvalidOption` without pictures, `Diverged` after several steps whose numbers were not finite,
    /// `OutOfMemory`, `DeviceLost`.
    pub async fn step(&mut self) -> JsResult<String> {
        let began = js_sys::Date::now();
        #[cfg(feature = "gpu")]
        self.take_products().await?;
        let metrics = self.train_step().await?;
        self.seconds += (js_sys::Date::now() - began) / 1e3;
        Ok(json(&metrics))
    }

    /// Makes the run `steps` steps longer than its schedule.
    pub fn extend(&mut self, steps: u32) {
        self.core.extend(steps.into(), self.feed.batches_per_epoch());
    }

    /// An RGBA picture as [`Self::reconstruct`] takes it, `[C, H, W]`: its centre, or all of it squeezed.
    ///
    /// # Errors
    /// `BadImage`, `InvalidOption` for channels that no picture has.
    pub fn prepare(
        &self,
        rgba: &[u8],
        width: usize,
        height: usize,
        stretch: bool,
    ) -> JsResult<Vec<f32>> {
        prepare(rgba, width, height, stretch, &self.core.recipe().model, &self.normalization)
    }

    /// Reconstructs pictures with the weights as they are, like a model.
    ///
    /// # Errors
    /// `InvalidOption`, `OutOfMemory`, `DeviceLost`.
    pub async fn reconstruct(
        &mut self,
        images: &[f32],
        json: &str,
        mask: Option<Vec<u8>>,
        noise: Option<Vec<f32>>,
        progress: &Progress,
    ) -> JsResult<Vec<Reconstruction>> {
        let Self { device, core, normalization, reconstructors, .. } = self;
        let (config, store) = (&core.recipe().model, core.weights());
        reconstructors
            .run(device, config, normalization, store, images, json, mask, noise, progress)
            .await
    }

    /// JSON of `FileLayout`: of a checkpoint, everything that is needed to go on, here or on the command line;
    /// or of the weights alone. What stands in it is read part by part, so that the heap never holds a whole file.
    ///
    /// # Errors
    /// `DeviceLost`.
    pub async fn layout(&self, checkpoint: bool) -> JsResult<String> {
        let Self { core, normalization, feed, .. } = self;
        let metadata = if checkpoint {
            core.meta(normalization, feed.cursor(), self.seconds).await?.entries()?
        } else {
            describe(&core.recipe().model, normalization, None)?
        };
        let (store, roles) = self.written(checkpoint);
        let mut parts = Vec::new();
        for (role, prefix) in roles.iter().zip(ROLES) {
            let prefix = if checkpoint { prefix } else { "" };
            let begin = parts.len();
            parts.resize_with(begin + store.parts(*role), Vec::new);
            for (part, first, spec) in store.stored(*role) {
                let name = format!("{prefix}{}", spec.name);
                parts[begin + part].push(StoredTensor { name, shape: &spec.shape, first });
            }
        }
        Ok(json(&FileLayout { metadata, parts }))
    }

    /// The values of part `part` of the same [`Self::layout`].
    ///
    /// # Errors
    /// `DeviceLost`.
    #[wasm_bindgen(js_name = readPart)]
    pub async fn read_part(&self, checkpoint: bool, mut part: usize) -> JsResult<Vec<f32>> {
        let (store, roles) = self.written(checkpoint);
        for role in roles {
            let parts = store.parts(*role);
            if part < parts {
                return Ok(store.read_part(*role, part).await?);
            }
            part -= parts;
        }
        Err(named("Internal", "There is no such part."))
    }
}

impl Trainer {
    pub(super) fn around(
        device: &WebDevice,
        core: Core,
        normalization: Normalization,
        cursor: Cursor,
        seconds: f64,
    ) -> Self {
        let feed = Feed::new(core.recipe().model.channels, cursor);
        let reconstructors = Reconstructors::default();
        let device = device.device.clone();
        Self {
            #[cfg(feature = "gpu")]
            products: device.target().products,
            device,
            core,
            normalization,
            feed,
            seconds,
            reconstructors,
        }
    }

    /// Has the step recorded anew if the device divides products in another way meanwhile.
    #[cfg(feature = "gpu")]
    async fn take_products(&mut self) -> JsResult<()> {
        let products = self.device.target().products;
        if self.products != products {
            self.core.renew(&self.device)?;
            self.products = products;
            self.device.compile(|_, _| ()).await?;
        }
        Ok(())
    }

    /// What is trained.
    pub(super) fn store(&self) -> &ParamStore {
        self.core.store()
    }

    /// What a file holds: of a checkpoint all that the run needs, else the weights to use.
    pub(super) fn written(&self, checkpoint: bool) -> (&ParamStore, &'static [Role]) {
        let roles = match (checkpoint, self.core.recipe().optimizer.ema()) {
            (false, _) => return (self.core.weights(), &SAVED[..1]),
            (true, None) => &SAVED[..SAVED.len() - 1],
            (true, Some(_)) => &SAVED,
        };
        (self.core.store(), roles)
    }

    async fn train_step(&mut self) -> JsResult<StepMetrics> {
        if self.feed.len() == 0 {
            let message = "There are no pictures to learn from; add some first (addImages).";
            return Err(named("InvalidOption", message));
        }
        self.device.check()?;
        let Self { core, feed, normalization, .. } = self;
        let done = core.step();
        feed.prepare(core.recipe(), normalization)?;
        let lr = core.recipe().schedule(feed.batches_per_epoch()).at(done) as f32;
        for index in 0..core.recipe().grad_accum {
            let batch = feed.next(core.recipe(), normalization)?;
            core.run_batch(index, lr, &batch);
            feed.recycle(batch);
        }
        core.request_metrics();
        let lines = core.metrics(done).await?;
        let line = lines.last().ok_or_else(|| Error::Device {
            problem: "the step reported nothing; go on from the last checkpoint".to_owned(),
        })?;
        if gives_up(line) {
            return Err(core.diverged(line, "what was saved before is good").await?.into());
        }
        Ok(StepMetrics {
            step: done + 1,
            epoch: feed.epochs(),
            loss: line.loss,
            lr: line.lr,
            grad_norm: line.grad_norm,
            applied: line.applied != 0,
            loss_scale: (core.recipe().precision == Precision::F16).then_some(line.loss_scale),
        })
    }
}
