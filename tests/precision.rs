//! Training in mixed precision: losses like those of f32, steps that overflow, memory, and adapters that
//! cannot.

mod common;

use pollster::block_on;
use webmae::gpu::GpuOptions;
use webmae::kernels::{
    DEFAULT_MAX_BINDING, Precision, Processor, ProductLayout, ProductShape, Products, Tiling,
};
use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::Input;
use webmae::model::init::init_params;
use webmae::model::params::{ParamSpec, mae_params};
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{AdamW, Metrics, Optimizer, Scalars, State};
use webmae::philox::Rng;
use webmae::program::Device;
use webmae::tensor::TensorMap;
use webmae::train::paper::PRETRAIN_ADAMW;
use webmae::train::step::{BatchData, MaskSource, StepConfig, Task, TrainStep};
use webmae::{Error, ModelConfig, StackConfig};

const BATCH: usize = 8;
/// Steps after which the two precisions are still near each other.
const STEPS: u32 = 12;
/// Relative difference of losses: one rounding of a value to f16, though means of many are nearer.
const TOLERANCE: f64 = 1.0 / 2048.0;

fn model() -> ModelConfig {
    ModelConfig {
        image_size: [16, 16],
        encoder: StackConfig::new(32, 2, 2),
        decoder: StackConfig::new(16, 1, 2),
        ..ModelConfig::preset("tiny").expect("a preset")
    }
}

fn masked() -> Task {
    Task::Masked { model: model(), masks: MaskSource::Generated }
}

/// A classifier whose first block is frozen, with branches that are dropped.
fn partly_frozen() -> Task {
    let classifier = ClassifierConfig {
        model: model(),
        pool: Pool::Mean,
        head: Head::Full,
        classes: 4,
        trainable: Trainable::Blocks(1),
        learned_positions: true,
        drop_path: 0.2,
    };
    Task::Classify { classifier, input: Input::Images }
}

fn specs(task: &Task) -> Vec<ParamSpec> {
    match task {
        Task::Masked { model, .. } => mae_params(model),
        Task::Classify { classifier, .. } => classifier.params(),
    }
}

fn step_config(task: Task, batch_size: usize, precision: Precision) -> StepConfig {
    let optimizer = AdamW { clip_norm: 1.0, ..PRETRAIN_ADAMW };
    StepConfig {
        task,
        batch_size,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(optimizer),
        layer_decay: 1.0,
        recompute: false,
        precision,
    }
}

/// A training run on pictures of noise, always the same batch.
struct Run {
    store: ParamStore,
    step: TrainStep,
    done: u32,
}

impl Run {
    fn new(device: &Device, task: Task, precision: Precision) -> Self {
        let specs = specs(&task);
        let initial = init_params(&specs, model().grid(), 3);
        let layout = ParamLayout::with_precision(specs, device.max_binding(), precision);
        let store = ParamStore::new(device, layout, true).expect("memory");
        store.load(Role::Value, &initial).expect("weights");
        let config = step_config(task, BATCH, precision);
        let step = TrainStep::new(device, config, &store).expect("a program");
        Self { store, step, done: 0 }
    }

    /// One step on pictures that are `contrast` times as strong as usual.
    fn step(&mut self, contrast: f32) -> Metrics {
        let mut rng = Rng::new(4, [0; 3]);
        let images: Vec<f32> =
            (0..BATCH * model().image_len()).map(|_| contrast * rng.normal()).collect();
        let ids: Vec<u32> = (0..BATCH as u32).collect();
        let targets: Vec<f32> =
            (0..BATCH * 4).map(|i| f32::from(u8::from(i / 4 % 4 == i % 4))).collect();
        let drop_path: Vec<f32> =
            (0..4 * BATCH).map(|i| if i % 5 == 1 { 0.0 } else { 1.25 }).collect();
        let batch = BatchData {
            images: &images,
            sample_ids: &ids,
            targets: &targets,
            drop_path: &drop_path,
            ..Default::default()
        };
        let scalars = Scalars { seed: [5, 0], lr: 2e-3, step: self.done, ..Default::default() };
        self.step.run_batch(0, scalars, batch);
        self.done += 1;
        self.step.request_metrics();
        let lines = block_on(self.step.metrics(self.done - 1)).expect("metrics");
        *lines.last().expect("a line")
    }

    fn state(&self) -> State {
        block_on(self.store.state()).expect("the state")
    }

    fn tensors(&self) -> [TensorMap; 3] {
        [Role::Value, Role::Moment1, Role::Moment2]
            .map(|role| block_on(self.store.read(role)).expect("tensors"))
    }
}

#[test]
fn losses_follow_those_of_f32() {
    for device in common::devices() {
        check_losses(device, &masked());
    }
    check_losses(common::cpu(), &partly_frozen());
}

/// The same with every product that fits by cooperative matrices, in each of their tilings that compile soon.
#[test]
fn losses_of_cooperative_products_follow_those_of_f32() {
    let device = common::open_gpu(&GpuOptions::default());
    let mut checked = 0;
    for (number, tiling) in Tiling::ALL.into_iter().enumerate() {
        let shape = ProductShape::new(Precision::F16, ProductLayout::Nt, [256; 3]);
        if let Tiling::Cooperative(tile) = tiling
            && device.target().offers(number, &shape)
            && common::compiles_soon(&device, tile, Precision::F16, false)
        {
            device.set_products(Products::uniform(number));
            check_losses(&device, &masked());
            checked += 1;
        }
    }
    if checked == 0 {
        common::skip("COOPERATIVE", "no cooperative matrices of F16");
    }
}

/// Trains in both precisions.
fn check_losses(device: &Device, task: &Task) {
    let target = device.target();
    let losses = |precision| -> Vec<f32> {
        let mut run = Run::new(device, task.clone(), precision);
        let lines: Vec<Metrics> = (0..STEPS).map(|_| run.step(1.0)).collect();
        assert!(lines.iter().all(|line| line.applied == 1), "{target:?}: {lines:?}");
        lines.iter().map(|line| line.loss).collect()
    };
    let (single, half) = (losses(Precision::F32), losses(Precision::F16));
    assert!(single[STEPS as usize - 1] < 0.99 * single[0], "{target:?} learns: {single:?}");
    assert_ne!(single, half, "{target:?}: nothing was rounded");
    let difference = |(single, half): (&f32, &f32)| f64::from((single - half).abs() / single);
    let worst = single.iter().zip(&half).map(difference).fold(0.0, f64::max);
    println!("{target:?}: losses differ by at most {worst:.1e}");
    assert!(common::within(worst, TOLERANCE), "{target:?}: {half:?} instead of {single:?}");
    assert_eq!(losses(Precision::F16), half, "{target:?}: the same run, the same bits");
}

/// A scale that is far too large: steps are skipped, each halves it, nothing moves until it fits; then the
/// run learns.
#[test]
fn overflow_halves_the_scale_until_it_fits() {
    let mut run = Run::new(common::device(), masked(), Precision::F16);
    let scale = 2f32.powi(40);
    run.store.set_state(State { loss_scale: scale, ..State::default() });
    let before = run.tensors();
    let first = run.step(1.0);
    assert_eq!((first.applied, first.skipped, first.loss_scale), (0, 1, scale));
    assert!(first.loss.is_finite() && !first.grad_norm.is_finite(), "{first:?}");
    assert_eq!(run.state().loss_scale, scale / 2.0);
    assert!(run.tensors() == before, "a skipped step moved something");
    let mut skipped = 1;
    let applied = loop {
        let line = run.step(1.0);
        if line.applied == 1 {
            break line;
        }
        skipped += 1;
        assert_eq!(line.skipped_in_a_row, skipped);
        assert!(skipped < 40, "{line:?}");
    };
    assert!(skipped > 3, "2⁴⁰ is no such scale: {skipped} steps were skipped");
    assert_eq!(applied.loss_scale, scale / 2f32.powi(skipped as i32));
    let state = run.state();
    assert_eq!((state.good_steps, state.updates, state.skipped), (1, 1, skipped));
    assert!(run.tensors() != before, "the first good step moves");
    let last = (0..10).map(|_| run.step(1.0)).last().expect("steps");
    assert!(last.loss < applied.loss, "{} after {}", last.loss, applied.loss);
}

/// Pixels that f16 cannot hold: the loss is not finite, and the step is skipped as in f32.
#[test]
fn inputs_beyond_f16_are_skipped() {
    let mut run = Run::new(common::device(), masked(), Precision::F16);
    let before = run.tensors();
    let line = run.step(1e6);
    assert_eq!((line.applied, line.skipped), (0, 1), "{line:?}");
    assert!(run.tensors() == before, "a skipped step moved something");
    assert_eq!(run.step(1.0).applied, 1);
    let name = block_on(async {
        run.step(1e6);
        run.step.programs()[0].first_non_finite().await
    });
    assert_eq!(name.expect("a diagnosis").expect("a tensor"), "patch_embed.patches");
}

/// What is planned: half the activations, and parameters with a copy.
#[test]
fn activations_take_half_the_memory() {
    for processor in Processor::ALL {
        let task = Task::Masked {
            model: ModelConfig::preset("vit-b").expect("a preset"),
            masks: MaskSource::Generated,
        };
        let plan = |precision| {
            let layout = ParamLayout::with_precision(specs(&task), DEFAULT_MAX_BINDING, precision);
            let step = step_config(task.clone(), 16, precision);
            let [batch, update] =
                step.plan(&processor.into(), &layout, DEFAULT_MAX_BINDING).expect("it fits");
            (batch.transient_bytes(), batch.dispatches + update.dispatches)
        };
        let ((single, dispatches), (half, same)) = (plan(Precision::F32), plan(Precision::F16));
        let share = half as f64 / single as f64;
        // What stays in f32 is small: statistics, log-sum-exps, the losses of patches.
        assert!((0.5..0.52).contains(&share), "{processor:?}: {half} of {single} bytes");
        assert_eq!(dispatches, same, "{processor:?}: no launch is added");
    }
}

/// One error, before any work, that names the option and the mend.
#[test]
fn an_adapter_without_f16_is_refused() {
    let options = GpuOptions { without_f16: true, ..Default::default() };
    let device = common::open_gpu(&options);
    device.check_precision(Precision::F32).expect("f32 is everywhere");
    let error = device.check_precision(Precision::F16).expect_err("no f16");
    assert!(matches!(error, Error::Config { .. }), "{error}");
    let message = error.to_string();
    for word in ["precision", "shader-f16", &device.summary().name, "take f32"] {
        assert!(message.contains(word), "{word} is missing in: {message}");
    }
    assert_eq!(device.allocated_bytes(), 0);
    common::gpu().check_precision(Precision::F16).expect("this adapter offers it");
}
