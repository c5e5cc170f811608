//! A training run without its surroundings: parameters, optimiser and the programs of a step, fed
//! with batches by a loop of any platform.

use super::checkpoint::{Checkpoint, Meta};
#[cfg(feature = "labels")]
use super::drop_path::drop_path_scales;
use super::recipe::{Length, Recipe};
#[cfg(feature = "native")]
use super::staged_feed::StagedBatch;
#[cfg(feature = "labels")]
use super::step::Task;
use super::step::{BatchData, TrainStep};
use crate::data::{Batch, Cursor, Normalization};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::init::init_params;
use crate::model::params::{ParamSpec, mae_params};
use crate::model::store::{ParamLayout, ParamStore, Role, require_all};
use crate::ops::optimizer::{Metrics, Scalars};
use crate::program::Device;
use crate::remedy::Remedy;
use crate::setting::Setting;
use crate::tensor::TensorMap;

/// Steps skipped in a row after which a run stops.
const MAX_SKIPPED_IN_A_ROW: u32 = 5;

/// Whether a run stops after the step of `line`: too many were skipped in a row, and in mixed precision it was
/// not the loss's scale that made their gradients overflow.
pub fn gives_up(line: &Metrics) -> bool {
    line.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW && line.loss_scale <= 1.0
}

/// What is trained, and how far.
pub struct Trainer {
    recipe: Recipe,
    store: ParamStore,
    /// The parameters with their moving averages for values, if the recipe keeps them.
    averaged: Option<ParamStore>,
    /// Missing only while it is renewed.
    train: Option<TrainStep>,
    step: u64,
}

/// What a trainer begins with.
#[derive(Clone, Copy)]
pub enum Beginning<'a> {
    /// Fresh parameters, except for these.
    Fresh(&'a TensorMap),
    /// A checkpoint's, with all that belongs to them.
    Resumed(&'a Checkpoint),
    /// Those of a checkpoint with this description, which are written to the store afterwards.
    Resuming(&'a Meta),
}

/// A batch as the step takes it; masks follow the draws.
pub fn data(batch: &Batch) -> BatchData<'_> {
    BatchData {
        images: &batch.images,
        sample_ids: &batch.draw_ids,
        tokens: &batch.tokens,
        targets: &batch.targets,
        ..BatchData::default()
    }
}

impl Trainer {
    /// What `recipe` trains, with the parameters of `beginning`.
    ///
    /// # Errors
    /// [`Error::Config`] if the adapter has not the recipe's precision, or the recipe keeps a moving average and the
    /// checkpoint has none, or the reverse; [`Error::DoesNotFit`] or [`Error::Device`] if the device has not enough;
    /// [`Error::BadWeights`] if the parameters are of another model.
    pub fn new(device: &Device, recipe: &Recipe, beginning: Beginning<'_>) -> Result<Self> {
        device.check_precision(recipe.precision)?;
        let (specs, limit) = (params(recipe), device.max_binding());
        let layout = ParamLayout::with_precision(specs, limit, recipe.precision);
        let store = ParamStore::new(device, layout, true)?;
        Self::with_store(device, recipe, store, beginning)
    }

    /// A trainer in f32 whose frozen parameters are those of `base`, as they are at any time; `recipe` trains
    /// what `base` has not.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn on_top(
        device: &Device,
        recipe: &Recipe,
        base: &ParamStore,
        beginning: Beginning<'_>,
    ) -> Result<Self> {
        let known = |name: &str| base.layout().specs().iter().any(|spec| spec.name == name);
        let own = params(recipe).into_iter().filter(|spec| !known(&spec.name)).collect();
        let layout = ParamLayout::new(own, device.max_binding());
        let store = ParamStore::on_top(base, layout)?;
        Self::with_store(device, recipe, store, beginning)
    }

    fn with_store(
        device: &Device,
        recipe: &Recipe,
        mut store: ParamStore,
        beginning: Beginning<'_>,
    ) -> Result<Self> {
        let averaged = recipe.optimizer.ema().map(|_| store.add_average()).transpose()?;
        let step = match beginning {
            Beginning::Resumed(checkpoint) => {
                let trained = || store.layout().specs().iter().filter(|spec| spec.trainable);
                require_all(store.layout().specs(), &checkpoint.params)?;
                require_all(trained(), &checkpoint.moment1)?;
                require_all(trained(), &checkpoint.moment2)?;
                store.load(Role::Value, &checkpoint.params)?;
                store.load(Role::Moment1, &checkpoint.moment1)?;
                store.load(Role::Moment2, &checkpoint.moment2)?;
                require_same_averaging(&averaged, checkpoint)?;
                if let Some(averaged) = &averaged {
                    require_all(trained(), &checkpoint.average)?;
                    averaged.load(Role::Value, &checkpoint.average)?;
                }
                store.set_state(checkpoint.meta.state());
                checkpoint.meta.step
            }
            Beginning::Resuming(meta) => {
                store.set_state(meta.state());
                meta.step
            }
            Beginning::Fresh(given) => {
                let specs = store.layout().specs();
                let initial = init_params(specs, recipe.model.grid(), recipe.seed);
                for store in averaged.iter().chain([&store]) {
                    store.load(Role::Value, &initial)?;
                    store.load(Role::Value, given)?;
                }
                0
            }
        };
        let train = TrainStep::new(device, recipe.step_config(), &store)?;
        Ok(Self { recipe: recipe.clone(), store, averaged, train: Some(train), step })
    }

    /// What the run does.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The parameters in training.
    pub fn store(&self) -> &ParamStore {
        &self.store
    }

    /// The parameters to use, as they are at any time: the moving averages where they are kept, else those in
    /// training.
    pub fn weights(&self) -> &ParamStore {
        self.averaged.as_ref().unwrap_or(&self.store)
    }

    /// The programs of a step.
    pub fn train_step(&self) -> &TrainStep {
        self.train.as_ref().expect("a step")
    }

    /// Records the step anew, for a device that divides products in another way now. Its parameters, moments and
    /// numbers stay.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] or [`Error::Device`]; the trainer cannot be used any more then.
    pub fn renew(&mut self, device: &Device) -> Result<()> {
        // Its memory goes before the new one's comes.
        self.train = None;
        self.train = Some(TrainStep::new(device, self.recipe.step_config(), &self.store)?);
        Ok(())
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Submits one of the step's batches, `index` of the recipe's `grad_accum`, at the learning rate
    /// `lr`; the last one also updates the parameters. Returns at once.
    pub fn run_batch(&mut self, index: usize, lr: f32, batch: &Batch) {
        self.submit(index, lr, batch, |train, scalars, data| train.run_batch(index, scalars, data));
    }

    /// The same with images that are in staging memory already.
    #[cfg(feature = "native")]
    pub(super) fn run_staged(&mut self, index: usize, lr: f32, staged: StagedBatch) {
        let StagedBatch { batch, images, .. } = staged;
        self.submit(index, lr, &batch, |train, scalars, data| {
            train.run_staged(index, scalars, images, data);
        });
    }

    fn submit(
        &mut self,
        index: usize,
        lr: f32,
        batch: &Batch,
        run: impl FnOnce(&TrainStep, Scalars, BatchData<'_>),
    ) {
        let scalars = Scalars {
            epoch: batch.epoch,
            step: self.step as u32,
            lr,
            ..Scalars::seeded(self.recipe.seed)
        };
        let scales = self.drop_path(batch);
        run(self.train_step(), scalars, BatchData { drop_path: &scales, ..data(batch) });
        if index + 1 == self.recipe.grad_accum {
            self.step += 1;
        }
    }

    /// See [`BatchData::drop_path`].
    #[cfg_attr(not(feature = "labels"), expect(unused_variables, reason = "nothing is dropped"))]
    fn drop_path(&self, batch: &Batch) -> Vec<f32> {
        #[cfg(feature = "labels")]
        if let Task::Classify { classifier, .. } = &self.train_step().config().task
            && classifier.drop_path > 0.0
        {
            return drop_path_scales(classifier, self.recipe.seed, batch);
        }
        Vec::new()
    }

    /// Begins to read the metrics of the last steps; returns at once.
    pub fn request_metrics(&mut self) {
        self.train.as_mut().expect("a step").request_metrics();
    }

    /// Whether metrics were asked for and not taken.
    pub fn has_requested_metrics(&self) -> bool {
        self.train_step().has_requested_metrics()
    }

    /// The metrics asked for, of steps from `first` (counted from 0) on, in order.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    pub async fn metrics(&mut self, first: u64) -> Result<Vec<Metrics>> {
        self.train.as_mut().expect("a step").metrics(first as u32).await
    }

    /// Makes the run `steps` steps longer than its schedule, whose warm-up stays: one curve of the learning
    /// rate over all steps.
    pub fn extend(&mut self, steps: u64, batches_per_epoch: usize) {
        let total = self.recipe.schedule(batches_per_epoch).total_steps;
        self.recipe.length = Length::Steps(total + steps);
    }

    /// What stands beside the tensors of a checkpoint, where `cursor` is the batch that comes next and
    /// `seconds` is how long the run took so far.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    pub async fn meta(
        &self,
        normalization: &Normalization,
        cursor: Cursor,
        seconds: f64,
    ) -> Result<Meta> {
        let (optimizer_state, loss_scale) = Meta::words_of(self.store.state().await?, &self.recipe);
        Ok(Meta {
            model: self.recipe.model.clone(),
            normalization: normalization.clone(),
            step: self.step,
            cursor,
            optimizer_state,
            loss_scale,
            seconds,
            recipe: self.recipe.clone(),
            #[cfg(feature = "native")]
            data: None,
            #[cfg(feature = "native")]
            held_out: None,
            probe: None,
        })
    }

    /// Everything that the run needs to go on; the arguments are those of [`Self::meta`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    pub async fn checkpoint(
        &self,
        normalization: &Normalization,
        cursor: Cursor,
        seconds: f64,
    ) -> Result<Checkpoint> {
        Ok(Checkpoint {
            meta: self.meta(normalization, cursor, seconds).await?,
            params: self.store.read(Role::Value).await?,
            moment1: self.store.read(Role::Moment1).await?,
            moment2: self.store.read(Role::Moment2).await?,
            average: match self.averaged {
                Some(_) => self.store.read(Role::Average).await?,
                None => TensorMap::new(),
            },
            probe: None,
        })
    }

    /// The error that ends a run after the skipped steps up to `line`, see [`gives_up`]: names the first tensor
    /// that is not finite, in the order of the computation. `kept` says what is saved.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    pub async fn diverged(&self, line: &Metrics, kept: &str) -> Result<Error> {
        let params = self.store.read(Role::Value).await?;
        let bad_param = params.iter().find(|(_, t)| t.data.iter().any(|x| !x.is_finite()));
        let mut first = bad_param.map(|(name, _)| format!("the parameter {name}"));
        if first.is_none() {
            first = self.train_step().programs()[0].first_non_finite().await?;
        }
        let first = first.unwrap_or_else(|| "the sum of squares of all gradients".to_owned());
        let problem = format!(
            "{} steps in a row up to step {} had a loss or gradient that is not finite; the first such \
             tensor is {first}; {kept}",
            line.skipped_in_a_row,
            line.step + 1,
        );
        Ok(self.failed(problem))
    }

    /// The error of a run that ends because of `problem`, with what makes training steadier.
    pub(super) fn failed(&self, problem: String) -> Error {
        let rate = if self.recipe.lr.is_some() { Setting::Lr } else { Setting::Blr };
        let mut remedies = vec![
            Remedy::smaller(rate),
            Remedy::larger(Setting::Warmup),
            Remedy::set(Setting::ClipNorm, 1),
        ];
        if self.recipe.precision == Precision::F16 {
            remedies.push(Remedy::set(Setting::Precision, "f32"));
        }
        Error::Diverged { problem, remedies }
    }
}

/// Checks that a checkpoint has moving averages if, and only if, the run that goes on from it keeps them.
fn require_same_averaging(averaged: &Option<ParamStore>, checkpoint: &Checkpoint) -> Result<()> {
    let problem = match (averaged.is_some(), checkpoint.average.is_empty()) {
        (true, true) => {
            "the run was begun without a moving average of the weights, and goes on without one"
        }
        (false, false) => {
            "the run was begun with a moving average of the weights, and goes on with it"
        }
        _ => return Ok(()),
    };
    Err(Error::config(Setting::Ema, problem))
}

/// The parameter table of what `recipe` trains.
fn params(recipe: &Recipe) -> Vec<ParamSpec> {
    #[cfg(feature = "labels")]
    if let Some(classify) = &recipe.classify {
        return classify.config(&recipe.model).params();
    }
    mae_params(&recipe.model)
}
