//! WebGPU's default limits, memory that does not grow, plans of large models, the number of
//! dispatches, and the same bits: from the same seed, and whether textures are copies or not.

mod common;

use std::sync::{Arc, Mutex, PoisonError};

use pollster::block_on;
use webmae::ModelConfig;
use webmae::gpu::GpuOptions;
use webmae::kernels::{DEFAULT_MAX_BINDING, Precision, Processor};
use webmae::model::init::init_params;
use webmae::model::objective::{Purpose, masked_objective};
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{AdamW, Metrics, Optimizer, Scalars};
use webmae::philox::Rng;
use webmae::program::{Device, Plan, Recorder};
use webmae::tensor::TensorMap;
use webmae::train::paper::PRETRAIN_ADAMW;
use webmae::train::step::{BatchData, MaskSource, StepConfig, Task, TrainStep};

/// Memory is the process's: nothing else may run while it is measured.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn step_config(model: &ModelConfig, batch_size: usize) -> StepConfig {
    let optimizer = AdamW { clip_norm: 1.0, ..PRETRAIN_ADAMW };
    StepConfig {
        task: Task::Masked { model: model.clone(), masks: MaskSource::Generated },
        batch_size,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(optimizer),
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    }
}

/// A training run on pictures of noise.
struct Run {
    store: ParamStore,
    step: TrainStep,
    images: Vec<f32>,
    ids: Vec<u32>,
    done: u32,
}

impl Run {
    fn new(device: &Device, model: &ModelConfig, batch_size: usize) -> Self {
        let specs = mae_params(model);
        let initial = init_params(&specs, model.grid(), 3);
        let layout = ParamLayout::new(specs, device.max_binding());
        let store = ParamStore::new(device, layout, true).expect("memory");
        store.load(Role::Value, &initial).expect("weights");
        let step =
            TrainStep::new(device, step_config(model, batch_size), &store).expect("a program");
        let mut rng = Rng::new(4, [0; 3]);
        let images = (0..batch_size * model.image_len()).map(|_| rng.normal()).collect();
        Self { store, step, images, ids: (0..batch_size as u32).collect(), done: 0 }
    }

    /// Trains until `steps` steps are done, reading the metrics as a training loop does.
    fn train_to(&mut self, steps: u32) -> Vec<Metrics> {
        let mut metrics = Vec::new();
        while self.done < steps {
            let scalars = Scalars { seed: [5, 0], lr: 1e-3, step: self.done, ..Default::default() };
            let batch =
                BatchData { images: &self.images, sample_ids: &self.ids, ..Default::default() };
            self.step.run_batch(0, scalars, batch);
            self.done += 1;
            if self.done.is_multiple_of(5) || self.done == steps {
                let first = metrics.last().map_or(0, |m: &Metrics| m.step + 1);
                self.step.request_metrics();
                metrics.extend(block_on(self.step.metrics(first)).expect("metrics"));
            }
        }
        metrics
    }

    fn parameters(&self) -> TensorMap {
        block_on(self.store.read(Role::Value)).expect("parameters")
    }
}

fn bits(tensors: &TensorMap) -> Vec<(String, Vec<u32>)> {
    let words = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect();
    tensors.iter().map(|(name, t)| (name.clone(), words(&t.data))).collect()
}

fn preset(name: &str) -> ModelConfig {
    ModelConfig::preset(name).expect("a preset")
}

#[test]
fn tiny_trains_within_the_default_limits_and_repeats_bit_by_bit() {
    let _alone = alone();
    let options = GpuOptions { default_limits: true, ..Default::default() };
    let device = common::open_gpu(&options);
    assert_eq!(device.max_binding(), DEFAULT_MAX_BINDING);
    let train = || {
        let mut run = Run::new(&device, &preset("tiny"), 8);
        (run.train_to(3), run.parameters())
    };
    let (metrics, parameters) = train();
    assert_eq!(metrics.len(), 3);
    assert!(metrics.iter().all(|m| m.applied == 1 && m.loss.is_finite()), "{metrics:?}");
    assert!(metrics[2].loss < metrics[0].loss, "no progress: {metrics:?}");
    device.check().expect("no fault");
    let (again, repeated) = train();
    assert_eq!(metrics, again);
    let pairs = bits(&parameters).into_iter().zip(bits(&repeated));
    let different: Vec<String> = pairs.filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
    assert!(different.is_empty(), "other bits in {different:?}");
}

#[test]
fn kernels_are_compiled_once_and_counted() {
    let _alone = alone();
    let device = common::open_gpu(&GpuOptions::default());
    let counts = Arc::new(Mutex::new(Vec::new()));
    let listened = Arc::clone(&counts);
    device
        .gpu()
        .expect("a GPU")
        .on_compile(move |done, total| listened.lock().unwrap().push((done, total)));
    let run = Run::new(&device, &preset("tiny"), 1);
    let counted = std::mem::take(&mut *counts.lock().unwrap());
    let programs: Vec<&[(usize, usize)]> = counted.chunk_by(|_, next| next.0 > 0).collect();
    // Forward and backward pass; the update.
    assert_eq!(programs.len(), 2, "{counted:?}");
    for program in programs {
        let total = program[0].1;
        assert_eq!(program, (0..=total).map(|done| (done, total)).collect::<Vec<_>>());
    }
    drop(run);
    Run::new(&device, &preset("tiny"), 1);
    assert_eq!(*counts.lock().unwrap(), [], "the kernels of the first run serve the second");
}

#[test]
fn memory_does_not_grow() {
    let _alone = alone();
    let mut model = preset("tiny");
    (model.image_size, model.encoder.depth, model.decoder.depth) = ([16, 16], 1, 1);
    let device = common::device();
    let mut run = Run::new(device, &model, 2);
    run.train_to(10);
    let allocated = device.allocated_bytes();
    run.train_to(100);
    let resident = resident_bytes();
    run.train_to(200);
    assert_eq!(device.allocated_bytes(), allocated, "bytes on the device after 10 and 200 steps");
    if let (Some(before), Some(after)) = (resident, resident_bytes()) {
        // A buffer kept per step, or a command buffer, would be several times that.
        assert!(after < before + (4 << 20), "{before} bytes after 100 steps, {after} after 200");
    }
    drop(run);
    assert!(device.allocated_bytes() < allocated, "a finished run gives its memory back");
}

/// What the process holds in memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(1024 * line.split_whitespace().nth(1)?.parse::<u64>().ok()?)
}

fn plan(model: &ModelConfig, batch_size: usize, processor: Processor) -> webmae::Result<[Plan; 2]> {
    let layout = ParamLayout::new(mae_params(model), DEFAULT_MAX_BINDING);
    step_config(model, batch_size).plan(&processor.into(), &layout, DEFAULT_MAX_BINDING)
}

#[test]
fn large_models_plan_within_the_default_limits() {
    let mut failures = Vec::new();
    for (name, batch) in [("vit-b", 64), ("vit-l", 64), ("vit-h", 48), ("plain", 64)] {
        for processor in Processor::ALL {
            let plans = match plan(&preset(name), batch, processor) {
                Ok(plans) => plans,
                Err(error) => {
                    failures.push(format!("{name} at {batch} {processor:?}: {error}"));
                    continue;
                }
            };
            for plan in &plans {
                // Externals are bound range by range; a plan that reaches the limit is refused.
                assert!(plan.largest_binding <= DEFAULT_MAX_BINDING);
                let slots = plan.slots.iter().copied();
                let buffers = slots.chain(plan.externals.iter().map(|(_, bytes)| *bytes));
                let largest = buffers.max().unwrap_or(0);
                if largest > DEFAULT_MAX_BINDING {
                    failures
                        .push(format!("{name} at {batch} {processor:?}: a buffer of {largest}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_impossible_batch_is_refused_with_numbers_and_advice() {
    let error = plan(&preset("vit-b"), 1024, Processor::Gpu).expect_err("too large").to_string();
    for part in
        ["does not fit", "1024", "MiB", "one binding holds 128.0 MiB", "batch_size", "grad_accum"]
    {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    // The batch that it names does fit that tensor: following the advice ends.
    let mut batch = 1024;
    let mut refusals = 0;
    while let Err(error) = plan(&preset("vit-b"), batch, Processor::Gpu) {
        let text = error.to_string();
        let advice = text.split("try batch_size ").nth(1).expect("advice");
        let smaller = advice.split(' ').next().unwrap().parse().expect("a number");
        assert!(smaller < batch, "{text}");
        batch = smaller;
        refusals += 1;
        assert!(refusals < 10, "endless advice: {text}");
    }
    assert!(batch >= 64, "advice ended at a batch of {batch}");
}

/// Launches cost time on every adapter: W1 (32², patch 4, 192×6, decoder 96×2, batch 64).
#[test]
fn a_step_takes_few_dispatches() {
    let model = preset("tiny");
    let config = step_config(&model, 64);
    let layout = ParamLayout::new(mae_params(&model), DEFAULT_MAX_BINDING);
    for processor in Processor::ALL {
        let batch = config.record_batch(processor, &layout).kernels().count();
        let update = config.record_update(processor, &layout).kernels().count();
        let mut rec = Recorder::new(processor, false);
        layout.declare(&mut rec, false);
        masked_objective(&mut rec, &model, 64, MaskSource::Generated, Purpose::Evaluation);
        let forward = rec.kernels().count();
        println!("{processor:?}: forward {forward}, batch {batch}, update {update}");
        assert!(batch + update <= 300, "{processor:?}: {batch} + {update} dispatches a step");
        assert!(forward <= 80, "{processor:?}: {forward} dispatches forward");
    }
}
