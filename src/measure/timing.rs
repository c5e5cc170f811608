//! Timing whole steps.

use std::time::Duration;

use web_time::Instant;

#[cfg(feature = "native")]
use super::profile::{Listed, Profile};
use super::samples::Samples;
use super::step::{BenchStep, StepSpec};
use super::{Repeats, SAMPLE};
use crate::error::Result;
use crate::program::Device;

/// Time of the steps by which those of a sample are counted.
const TRIAL: Duration = Duration::from_millis(50);

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
    /// Submissions of launches per step.
    pub submits: usize,
    /// FLOPs of matrix products and attention per step.
    pub flops: u64,
    /// Loss of the last step.
    pub loss: f32,
    /// Where the time goes; `None` if not asked for or if the adapter has no timestamps.
    #[cfg(feature = "native")]
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

/// Measures the step `spec`; where something is to be `listed`, also each of its dispatches: natively, as browsers
/// round times by far more than most of them take.
///
/// # Errors
/// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`].
pub async fn measure(
    device: &Device,
    spec: StepSpec,
    repeats: Repeats,
    #[cfg(feature = "native")] listed: Option<Listed>,
) -> Result<Measurement> {
    let mut step = BenchStep::new(device, &spec).await?;
    let Sampled { milliseconds, cpu_milliseconds, submits, loss } =
        sample(device, &mut step, repeats).await?;
    let programs = step.programs();
    Ok(Measurement {
        spec,
        milliseconds,
        cpu_milliseconds,
        dispatches: programs.iter().map(|program| program.dispatches()).sum(),
        submits,
        flops: step.flops(),
        loss,
        #[cfg(feature = "native")]
        profile: match listed {
            Some(listed) => Profile::of(&programs, listed).await?,
            None => None,
        },
    })
}

/// What is measured of samples, per step.
struct Sampled {
    milliseconds: Samples,
    cpu_milliseconds: f64,
    submits: usize,
    loss: f32,
}

/// Steps of a sample, each of which takes so `long`: as many as last [`SAMPLE`], and a few more where a GPU works while
/// the next are submitted; one where it lasts that long itself.
fn steps_of_sample(long: Duration, runs_behind: bool) -> usize {
    /// In fewer steps the gaps before the first and after the last would count.
    const FEWEST_BEHIND: usize = 4;
    let steps = (SAMPLE.as_secs_f64() / long.as_secs_f64()).ceil() as usize;
    if steps > 1 && runs_behind { steps.max(FEWEST_BEHIND) } else { steps.max(1) }
}

/// Times samples of several steps.
async fn sample(device: &Device, step: &mut BenchStep, repeats: Repeats) -> Result<Sampled> {
    let mut loss = f32::NAN;
    let mut group = async |steps: usize| -> Result<(Duration, Duration)> {
        let mut cpu = Duration::ZERO;
        let began = Instant::now();
        for _ in 0..steps {
            cpu += step.submit().await?;
        }
        loss = step.wait().await?;
        Ok((began.elapsed(), cpu))
    };
    for _ in 0..repeats.warmup {
        group(1).await?;
    }
    let (mut trial, mut tried) = (1, group(1).await?.0);
    while tried < TRIAL {
        trial *= 2;
        tried = group(trial).await?.0;
    }
    let steps = steps_of_sample(tried / trial as u32, device.runs_behind());
    let per_step = |time: Duration| time.as_secs_f64() * 1e3 / steps as f64;
    let submissions = || device.gpu().map_or(0, |gpu| gpu.submissions());
    let (mut milliseconds, mut cpu_total, before) = (Vec::new(), 0.0, submissions());
    for _ in 0..repeats.samples.max(1) {
        let (whole, cpu) = group(steps).await?;
        milliseconds.push(per_step(whole));
        cpu_total += per_step(cpu);
    }
    let samples = milliseconds.len();
    let submits = (submissions() - before) as f64 / (samples * steps) as f64;
    Ok(Sampled {
        milliseconds: Samples::new(milliseconds),
        cpu_milliseconds: cpu_total / samples as f64,
        // On the processor a step is one call.
        submits: (submits.round() as usize).max(1),
        loss,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_long_and_slow_steps_samples_by_themselves() {
        let steps = |ms: f64| {
            [true, false].map(|behind| steps_of_sample(Duration::from_secs_f64(ms / 1e3), behind))
        };
        assert_eq!(steps(0.5), [1000, 1000]);
        assert_eq!(steps(60.0), [9, 9]);
        assert_eq!(steps(300.0), [4, 2]);
        assert_eq!(steps(500.0), [1, 1]);
        assert_eq!(steps(9000.0), [1, 1]);
    }
}
