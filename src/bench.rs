//! Measuring speed: the reference workloads, and the best matrix product of the adapter to compare
//! them with.

use std::time::{Duration, Instant};

use pollster::block_on;

use crate::config::ModelConfig;
use crate::error::Result;
use crate::gpu::{Gpu, Precision, Tier};
use crate::model::init::init_params;
use crate::model::params::mae_params;
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::ops::linear;
use crate::ops::optim::{AdamW, Optimizer, Scalars};
use crate::philox::Rng;
use crate::program::{Buffers, KernelTime, Program, Recorder};
use crate::train::step::{BatchData, EvalStep, MaskSource, StepConfig, Task, TrainStep};

/// Extent of the matrices whose product is the measure for all others.
pub const GEMM_EXTENT: usize = 1024;
/// Steps are timed in groups that last at least this long, so that waiting for the device's answer
/// does not count.
const GROUP: Duration = Duration::from_millis(40);
/// Stream of the random numbers of images.
const STREAM: u32 = 0xbe9c;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forward pass and loss.
    Forward,
    /// Forward, backward and update.
    Train,
}

impl Mode {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
        }
    }
}

/// A reference workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Preset of the model.
    pub preset: &'static str,
    /// Images in a forward pass.
    forward_batch: usize,
    /// Images in a training step, on a software driver and on a GPU.
    train_batch: [usize; 2],
}

/// The reference workloads.
pub const WORKLOADS: [Workload; 4] = [
    Workload { name: "W1", preset: "tiny", forward_batch: 64, train_batch: [64, 64] },
    Workload { name: "W2", preset: "small", forward_batch: 16, train_batch: [16, 16] },
    Workload { name: "W3", preset: "vit-b", forward_batch: 1, train_batch: [4, 64] },
    Workload { name: "W4", preset: "plain", forward_batch: 8, train_batch: [8, 8] },
];

impl Workload {
    /// Images per batch on adapters of `tier`.
    pub fn batch_size(&self, mode: Mode, tier: Tier) -> usize {
        match mode {
            Mode::Forward => self.forward_batch,
            Mode::Train => self.train_batch[usize::from(!tier.is_cpu())],
        }
    }
}

/// How often things are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Steps before the measured ones.
    pub warmup: usize,
    /// Timed groups of steps, at least 1.
    pub samples: usize,
    /// Also time every kernel.
    pub profile: bool,
}

/// A measured program.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// What was measured.
    pub mode: Mode,
    /// Images per batch.
    pub batch_size: usize,
    /// Milliseconds per step of each sample, in ascending order.
    pub milliseconds: Vec<f64>,
    /// Milliseconds of a step in which the CPU uploads, encodes and submits.
    pub cpu_milliseconds: f64,
    /// Kernel launches per step.
    pub dispatches: usize,
    /// Submissions per step.
    pub submits: usize,
    /// FLOPs of matrix products and attention per step.
    pub flops: u64,
    /// Time of each kernel in one step, longest first; `None` if not asked for or if the adapter
    /// has no timestamps.
    pub kernels: Option<Vec<KernelTime>>,
}

impl Measurement {
    /// Median milliseconds per step.
    pub fn median(&self) -> f64 {
        quantile(&self.milliseconds, 0.5)
    }

    /// Half the distance between the quartiles.
    pub fn spread(&self) -> f64 {
        (quantile(&self.milliseconds, 0.75) - quantile(&self.milliseconds, 0.25)) / 2.0
    }

    /// Images per second.
    pub fn images_per_second(&self) -> f64 {
        self.batch_size as f64 / self.median() * 1e3
    }

    /// GFLOP per second.
    pub fn gflops(&self) -> f64 {
        self.flops as f64 / self.median() / 1e6
    }
}

/// Measures `mode` of `config` with random parameters and images; a training step that recomputes if it
/// says so, see [`StepConfig::recompute`], and keeps weights and activations in `precision`.
///
/// # Errors
/// [`crate::Error::Config`] if the adapter has not that precision, [`crate::Error::DoesNotFit`] or
/// [`crate::Error::Device`].
pub fn measure(
    gpu: &Gpu,
    config: &ModelConfig,
    mode: Mode,
    batch_size: usize,
    recompute: bool,
    precision: Precision,
    repeats: Repeats,
) -> Result<Measurement> {
    gpu.check_precision(precision)?;
    let layout = ParamLayout::with_precision(mae_params(config), gpu.max_binding(), precision);
    let store = ParamStore::new(gpu, layout, mode == Mode::Train)?;
    store.load(Role::Value, &init_params(store.layout().specs(), config.grid(), 0))?;
    let masks = MaskSource::Generated;
    let optimizer =
        AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.05, clip_norm: 0.0 };
    let step = StepConfig {
        task: Task::Masked { model: config.clone(), masks },
        batch_size,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(optimizer),
        layer_decay: 1.0,
        recompute,
        precision,
    };
    let mut rng = Rng::new(0, [STREAM, 0, 0]);
    let images: Vec<f32> = (0..batch_size * config.image_len()).map(|_| rng.normal()).collect();
    let sample_ids: Vec<u32> = (0..batch_size as u32).collect();
    let batch = BatchData { images: &images, sample_ids: &sample_ids, ..Default::default() };
    match mode {
        Mode::Forward => {
            let step = EvalStep::new(gpu, config, masks, batch_size, &store, precision)?;
            forward(step, batch, repeats)
        }
        Mode::Train => train(TrainStep::new(gpu, step, &store)?, batch, repeats),
    }
}

fn forward(step: EvalStep, batch: BatchData<'_>, repeats: Repeats) -> Result<Measurement> {
    let program = step.program();
    // Uploads everything once.
    block_on(step.run(Scalars::default(), batch))?;
    let wait = |_: u32| block_on(program.read::<f32>("loss")).map(|_| ());
    let (milliseconds, cpu_milliseconds) =
        sample(repeats, &mut (), |(), _| program.submit(), |(), step| wait(step))?;
    Ok(Measurement {
        mode: Mode::Forward,
        batch_size: batch.sample_ids.len(),
        milliseconds,
        cpu_milliseconds,
        dispatches: program.dispatches(),
        submits: 1,
        flops: program.plan().flops,
        kernels: profile(&[program], repeats)?,
    })
}

fn train(mut step: TrainStep, batch: BatchData<'_>, repeats: Repeats) -> Result<Measurement> {
    let run = |train: &mut TrainStep, step: u32| {
        let scalars = Scalars { epoch: step, step, lr: 1e-4, ..Scalars::default() };
        train.run_batch(0, scalars, batch);
    };
    let wait = |train: &mut TrainStep, step: u32| {
        train.request_metrics();
        block_on(train.metrics(step)).map(|_| ())
    };
    let (milliseconds, cpu_milliseconds) = sample(repeats, &mut step, run, wait)?;
    let programs = step.programs();
    Ok(Measurement {
        mode: Mode::Train,
        batch_size: batch.sample_ids.len(),
        milliseconds,
        cpu_milliseconds,
        dispatches: programs.iter().map(|program| program.dispatches()).sum(),
        submits: 1,
        flops: programs.iter().map(|program| program.plan().flops).sum(),
        kernels: profile(&programs, repeats)?,
    })
}

/// Times groups of `run`, each ended by `wait`, on `state`. Returns milliseconds per step of each
/// group in ascending order, and the CPU's part of a step.
fn sample<T>(
    repeats: Repeats,
    state: &mut T,
    run: impl Fn(&mut T, u32),
    wait: impl Fn(&mut T, u32) -> Result<()>,
) -> Result<(Vec<f64>, f64)> {
    let mut step = 0;
    let mut group = |steps: usize| -> Result<(Duration, Duration)> {
        let mut cpu = Duration::ZERO;
        let began = Instant::now();
        for _ in 0..steps {
            let submitted = Instant::now();
            run(state, step);
            cpu += submitted.elapsed();
            step += 1;
        }
        wait(state, step.saturating_sub(1))?;
        Ok((began.elapsed(), cpu))
    };
    for _ in 0..repeats.warmup {
        group(1)?;
    }
    let (once, _) = group(1)?;
    let steps = GROUP.as_secs_f64() / once.as_secs_f64();
    let steps = (steps.ceil() as usize).clamp(1, 64);
    let (mut milliseconds, mut cpu_total) = (Vec::new(), 0.0);
    for _ in 0..repeats.samples.max(1) {
        let (whole, cpu) = group(steps)?;
        milliseconds.push(whole.as_secs_f64() * 1e3 / steps as f64);
        cpu_total += cpu.as_secs_f64() * 1e3 / steps as f64;
    }
    let cpu = cpu_total / milliseconds.len() as f64;
    milliseconds.sort_by(f64::total_cmp);
    Ok((milliseconds, cpu))
}

/// Times of the kernels of all programs together, longest first.
fn profile(programs: &[&Program], repeats: Repeats) -> Result<Option<Vec<KernelTime>>> {
    if !repeats.profile {
        return Ok(None);
    }
    let mut sums: Vec<KernelTime> = Vec::new();
    for program in programs {
        let Some(times) = block_on(program.time())? else { return Ok(None) };
        for time in times {
            match sums.iter_mut().find(|sum| sum.kernel == time.kernel) {
                Some(sum) => {
                    sum.launches += time.launches;
                    sum.nanoseconds += time.nanoseconds;
                    sum.flops += time.flops;
                }
                None => sums.push(time),
            }
        }
    }
    sums.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
    Ok(Some(sums))
}

/// The adapter's best GFLOP per second in one matrix product of [`GEMM_EXTENT`]² operands: a linear
/// layer's forward pass (`A·Bᵀ`), its input gradient (`A·B`) or its weight gradient (`Aᵀ·B`),
/// whichever is fastest by the adapter's timestamps; without timestamps, of all three by the clock.
///
/// # Errors
/// [`crate::Error::Device`] if the device failed.
pub fn gemm_gflops(gpu: &Gpu) -> Result<f64> {
    /// Runs of which the fastest counts.
    const RUNS: usize = 7;
    let shape = [GEMM_EXTENT; 2];
    let mut rec = Recorder::new(gpu.target(), true);
    let [x, weight, d_weight, dy] =
        ["x", "weight", "d weight", "dy"].map(|label| rec.external(label, shape));
    rec.require_grad(x);
    rec.add_param("weight", weight, Some(d_weight));
    let y = linear(&mut rec, x, weight, None);
    rec.keep(y, "y");
    rec.set_grad(y, dy);
    rec.backward();
    let program = Program::build(gpu, &rec, &Buffers::new())?;
    let mut rng = Rng::new(0, [STREAM, 1, 0]);
    let deviation = 1.0 / (GEMM_EXTENT as f32).sqrt();
    for label in ["x", "weight", "dy"] {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| deviation * rng.normal()).collect();
        program.write(label, &values);
    }
    let mut best: f64 = 0.0;
    for _ in 0..RUNS {
        let since = Instant::now();
        let rate = match block_on(program.time())? {
            Some(times) => {
                times.iter().map(|k| k.flops as f64 / k.nanoseconds.max(1.0)).fold(0.0, f64::max)
            }
            None => {
                program.submit();
                block_on(gpu.read(program.buffer("y"), 0, 4))?;
                program.plan().flops as f64 / since.elapsed().as_nanos() as f64
            }
        };
        best = best.max(rate);
    }
    Ok(best)
}

/// The value below which a share of `sorted` lies, between neighbours by linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.25), 1.75);
        assert_eq!(quantile(&[5.0], 0.75), 5.0);
    }

    #[test]
    fn workloads_are_presets() {
        for workload in WORKLOADS {
            ModelConfig::preset(workload.preset).unwrap();
        }
    }
}
