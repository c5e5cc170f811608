//! Staging memory: the same bits as direct uploads, a bounded number of buffers, and an end to every thread. Steps in
//! parts: the same bits as in one.

mod common;

use std::time::Duration;

use pollster::block_on;
use webmae::cpu::Cpu;
use webmae::gpu::GpuOptions;
use webmae::kernels::{Precision, STAGING_BUFFERS};
use webmae::model::init::init_params;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{AdamW, Metrics, Optimizer, Scalars};
use webmae::philox::Rng;
use webmae::program::{Device, Program, Staged, Uploads};
use webmae::train::paper::PRETRAIN_ADAMW;
use webmae::train::step::{BatchData, MaskSource, StepConfig, Task, TrainStep};
use webmae::{Error, ModelConfig};

const BATCH: usize = 2;
/// Several times around the ring.
const STEPS: u32 = 4 * STAGING_BUFFERS as u32;

fn model() -> ModelConfig {
    let mut model = ModelConfig::preset("tiny").expect("a preset");
    (model.image_size, model.encoder.depth, model.decoder.depth) = ([16, 16], 1, 1);
    model
}

/// Another batch for every step.
fn images(step: u32) -> Vec<f32> {
    let mut rng = Rng::new(4, [step, 0, 0]);
    (0..BATCH * model().image_len()).map(|_| rng.normal()).collect()
}

fn new_step(device: &Device) -> TrainStep {
    let optimizer = AdamW { clip_norm: 1.0, ..PRETRAIN_ADAMW };
    let config = StepConfig {
        task: Task::Masked { model: model(), masks: MaskSource::Generated },
        batch_size: BATCH,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(optimizer),
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    };
    let specs = mae_params(&model());
    let initial = init_params(&specs, model().grid(), 3);
    let store = ParamStore::new(device, ParamLayout::new(specs, device.max_binding()), true);
    let store = store.expect("memory");
    store.load(Role::Value, &initial).expect("weights");
    TrainStep::new(device, config, &store).expect("a program")
}

/// Runs all steps, each on its own batch, as `run` does it.
fn train(
    step: &mut TrainStep,
    mut run: impl FnMut(&TrainStep, Scalars, BatchData<'_>),
) -> Vec<Metrics> {
    for number in 0..STEPS {
        let scalars = Scalars { seed: [5, 0], lr: 1e-3, step: number, ..Default::default() };
        run(step, scalars, BatchData { sample_ids: &[0, 1], ..Default::default() });
    }
    step.request_metrics();
    block_on(step.metrics(0)).expect("metrics")
}

#[test]
fn staged_images_give_the_same_bits_in_bounded_memory() {
    staged_as_direct(&common::open_gpu(&GpuOptions::default()), true);
    staged_as_direct(&Cpu::default().into(), false);
}

/// Trains both ways; the ring counts as the device's memory on a GPU.
fn staged_as_direct(device: &Device, counts_ring: bool) {
    let mut direct = new_step(device);
    let expected = train(&mut direct, |step, scalars, batch| {
        step.run_batch(0, scalars, BatchData { images: &images(scalars.step), ..batch });
    });
    assert_eq!(expected.len(), STEPS as usize);

    let mut step = new_step(device);
    let before = device.allocated_bytes();
    let mut uploads = all_images(device, &step);
    assert_eq!(train_staged(&mut step, &mut uploads), expected);
    let ring = STAGING_BUFFERS as u64 * step.image_bytes();
    assert_eq!(device.allocated_bytes() - before, if counts_ring { ring } else { 0 });
    drop(uploads);
    assert_eq!(device.allocated_bytes(), before);
}

/// A thread that stages the images of every step.
fn all_images(device: &Device, step: &TrainStep) -> Uploads<Staged> {
    let mut number = 0..;
    let uploads = Uploads::start(device, step.image_bytes(), move |staging| {
        staging.stage(bytemuck::cast_slice(&images(number.next().expect("endless"))))
    });
    uploads.expect("a thread")
}

fn train_staged(step: &mut TrainStep, uploads: &mut Uploads<Staged>) -> Vec<Metrics> {
    train(step, |step, scalars, batch| {
        step.run_staged(0, scalars, uploads.take().expect("images"), batch);
    })
}

#[test]
fn steps_in_parts_give_the_same_bits() {
    let device = common::open_gpu(&GpuOptions::default());
    let gpu = device.gpu().expect("a GPU");
    let run = |submission_time: Duration| {
        gpu.set_submission_time(submission_time);
        let mut step = new_step(&device);
        let launches: usize = step.programs().map(Program::dispatches).iter().sum();
        let before = gpu.submissions();
        let mut uploads = all_images(&device, &step);
        let metrics = train_staged(&mut step, &mut uploads);
        (metrics, gpu.submissions() - before, launches as u64)
    };
    let (whole, submissions, launches) = run(Duration::MAX);
    assert_eq!((whole.len(), submissions), (STEPS as usize, STEPS.into()));
    let (in_parts, submissions, _) = run(Duration::ZERO);
    assert_eq!(submissions, u64::from(STEPS) * launches);
    assert_eq!(in_parts, whole);
}

/// A thread that stages zeros.
fn zeros(device: &Device) -> Uploads<Staged> {
    Uploads::start(device, 64, |staging| staging.stage(&[0; 64])).expect("a thread")
}

#[test]
fn dropping_ends_the_thread_whatever_it_waits_for() {
    let device = common::device();
    drop(zeros(device));
    let mut uploads = zeros(device);
    // The ring is full, and the thread waits for a buffer; what is thrown away unused comes back too.
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..2 * STAGING_BUFFERS {
        uploads.take().expect("zeros");
    }
    let held = uploads.take().expect("zeros");
    drop(uploads);
    drop(held);
}

#[test]
fn what_ends_the_thread_is_told() {
    let mut left = 2;
    let mut uploads = Uploads::start(common::device(), 4, move |staging| {
        left -= 1;
        if left < 0 {
            return Err(Error::argument("data", "no more pictures"));
        }
        staging.stage(&[1; 4])
    })
    .expect("a thread");
    for _ in 0..2 {
        uploads.take().expect("data");
    }
    for expected in ["no more pictures", "has ended"] {
        let error = uploads.take().map(|_| ()).expect_err("an end").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_lost_device_ends_it() {
    let device = common::open_gpu(&GpuOptions::default());
    let mut uploads = zeros(&device);
    device.gpu().expect("a GPU").lose();
    // What was staged before may still come.
    let taken = (0..=2 * STAGING_BUFFERS).find_map(|_| uploads.take().err());
    assert!(matches!(taken, Some(Error::DeviceLost { .. })), "{taken:?}");
}
