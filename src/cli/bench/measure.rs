//! Timing whole steps.

use std::time::{Duration, Instant};

use super::Repeats;
use super::profile::Profile;
use super::samples::Samples;
use super::step::{BenchStep, StepSpec};
use crate::error::Result;
use crate::program::Device;

/// Steps are timed in groups that last at least this long, so that waiting for the device's answer
/// does not count.
const GROUP: Duration = Duration::from_millis(40);
/// Most steps of a group.
const MAX_GROUP: usize = 64;

/// A measured step.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// What was measured.
    pub spec: StepSpec,
    /// Milliseconds per step.
    pub milliseconds: Samples,
    /// Milliseconds of a step in which its thread writes scalars, encodes and submits.
    pub cpu_milliseconds: f64,
    /// Kernel launches per step.
    pub dispatches: usize,
    /// Submissions per step.
    pub submits: usize,
    /// FLOPs of matrix products and attention per step.
    pub flops: u64,
    /// Where the time goes; `None` if not asked for or if the adapter has no timestamps.
    pub profile: Option<Profile>,
}

impl Measurement {
    /// Images per second.
    pub fn images_per_second(&self) -> f64 {
        self.spec.batch_size as f64 / self.milliseconds.median() * 1e3
    }

    /// GFLOP per second.
    pub fn gflops(&self) -> f64 {
        self.flops as f64 / self.milliseconds.median() / 1e6
    }
}

/// Measures the step `spec`, and with `profile` each of its dispatches.
///
/// # Errors
/// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`].
pub fn measure(
    device: &Device,
    spec: StepSpec,
    repeats: Repeats,
    profile: bool,
) -> Result<Measurement> {
    let mut step = BenchStep::new(device, &spec)?;
    let (milliseconds, cpu_milliseconds) = sample(&mut step, repeats)?;
    let programs = step.programs();
    Ok(Measurement {
        spec,
        milliseconds,
        cpu_milliseconds,
        dispatches: programs.iter().map(|program| program.dispatches()).sum(),
        submits: 1,
        flops: step.flops(),
        profile: if profile { Profile::of(&programs)? } else { None },
    })
}

/// Times groups of steps. Returns milliseconds per step, and the CPU's part of them.
fn sample(step: &mut BenchStep, repeats: Repeats) -> Result<(Samples, f64)> {
    let mut group = |steps: usize| -> Result<(Duration, Duration)> {
        let mut cpu = Duration::ZERO;
        let began = Instant::now();
        for _ in 0..steps {
            cpu += step.submit()?;
        }
        step.wait()?;
        Ok((began.elapsed(), cpu))
    };
    for _ in 0..repeats.warmup {
        group(1)?;
    }
    let (once, _) = group(1)?;
    let steps = (GROUP.as_secs_f64() / once.as_secs_f64()).ceil() as usize;
    let steps = steps.clamp(1, MAX_GROUP);
    let per_step = |time: Duration| time.as_secs_f64() * 1e3 / steps as f64;
    let (mut milliseconds, mut cpu_total) = (Vec::new(), 0.0);
    for _ in 0..repeats.samples.max(1) {
        let (whole, cpu) = group(steps)?;
        milliseconds.push(per_step(whole));
        cpu_total += per_step(cpu);
    }
    let cpu = cpu_total / milliseconds.len() as f64;
    Ok((Samples::new(milliseconds), cpu))
}
