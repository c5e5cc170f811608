//! Where the time of a step goes: by kernel, and the most expensive single dispatches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::samples::Samples;
use crate::error::Result;
use crate::program::{DispatchTime, Program};

/// How often every dispatch is timed; the middle one counts.
const RUNS: usize = 3;

/// Which dispatches are listed one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The ten that take most time.
    Slowest,
    /// Every one.
    All,
}

impl Listed {
    /// At most how many.
    fn limit(self) -> usize {
        match self {
            Self::Slowest => 10,
            Self::All => usize::MAX,
        }
    }
}

/// Times by the adapter's timestamps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Every kernel of the step, the one that takes most time first.
    pub kernels: Vec<KernelTime>,
    /// The dispatches that take most time, or all, the longest first.
    pub slowest: Vec<SlowDispatch>,
}

/// Time and work of all launches of one kernel in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelTime {
    /// Shader's name.
    pub kernel: String,
    /// Its share of the time of all kernels.
    pub share: f64,
    /// Sum of its launches' times in milliseconds.
    pub milliseconds: f64,
    /// Number of launches.
    pub launches: usize,
    /// Sum of their matrix FLOPs.
    pub flops: u64,
    /// GFLOP per second of matrix work.
    pub gflops: f64,
}

/// Time and work of one dispatch of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowDispatch {
    /// What it computes and where in the model, e.g. `blocks.3.mlp.fc1`.
    pub computes: String,
    /// Shader's name.
    pub kernel: String,
    /// Extents of the tensors that it reads → writes.
    pub sizes: String,
    /// Its share of the time of all kernels.
    pub share: f64,
    /// Time in milliseconds.
    pub milliseconds: f64,
    /// GFLOP per second of matrix work.
    pub gflops: f64,
    /// Bytes of everything that it binds, read or written, 10⁹ a second.
    pub gigabytes_per_second: f64,
}

impl Profile {
    /// Times `programs`, the parts of one step, and lists `listed` of their dispatches; `None` where the adapter has no
    /// timestamps.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn of(programs: &[&Program], listed: Listed) -> Result<Option<Self>> {
        let mut all = Vec::new();
        for program in programs {
            let mut runs = Vec::with_capacity(RUNS);
            for _ in 0..RUNS {
                let Some(times) = program.time().await? else { return Ok(None) };
                runs.push(times);
            }
            all.extend(medians(runs));
        }
        Ok(Some(Self::new(all, listed)))
    }

    fn new(mut dispatches: Vec<DispatchTime>, listed: Listed) -> Self {
        let total: f64 = dispatches.iter().map(|time| time.nanoseconds).sum();
        let share = |nanoseconds: f64| nanoseconds / total.max(1.0);
        let mut sums: BTreeMap<&'static str, (usize, f64, u64)> = BTreeMap::new();
        for time in &dispatches {
            let (launches, nanoseconds, flops) = sums.entry(time.kernel).or_default();
            *launches += 1;
            *nanoseconds += time.nanoseconds;
            *flops += time.flops;
        }
        let kernel = |(kernel, (launches, nanoseconds, flops)): (&str, (usize, f64, u64))| {
            let (milliseconds, gflops) = (nanoseconds / 1e6, flops as f64 / nanoseconds.max(1.0));
            let (kernel, share) = (kernel.to_owned(), share(nanoseconds));
            KernelTime { kernel, share, milliseconds, launches, flops, gflops }
        };
        let mut kernels: Vec<KernelTime> = sums.into_iter().map(kernel).collect();
        kernels.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
        dispatches.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
        dispatches.truncate(listed.limit());
        let slow = |time: DispatchTime| SlowDispatch {
            share: share(time.nanoseconds),
            milliseconds: time.nanoseconds / 1e6,
            gflops: time.gflops(),
            gigabytes_per_second: time.gigabytes_per_second(),
            computes: time.computes,
            kernel: time.kernel.to_owned(),
            sizes: time.sizes,
        };
        Self { kernels, slowest: dispatches.into_iter().map(slow).collect() }
    }
}

/// Of several runs of the same dispatches, each one's middle time.
fn medians(mut runs: Vec<Vec<DispatchTime>>) -> Vec<DispatchTime> {
    let mut last = runs.pop().expect("at least one run");
    for (i, time) in last.iter_mut().enumerate() {
        let others = runs.iter().map(|run| run[i].nanoseconds);
        time.nanoseconds = Samples::new(others.chain([time.nanoseconds]).collect()).median();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(kernel: &'static str, nanoseconds: f64) -> DispatchTime {
        DispatchTime {
            kernel,
            computes: format!("{kernel} of {nanoseconds}"),
            sizes: "2×3 → 6".to_owned(),
            nanoseconds,
            flops: 1000,
            bytes: 400,
        }
    }

    #[test]
    fn kernels_are_summed_and_the_slowest_dispatches_listed() {
        let mut times: Vec<DispatchTime> =
            (1..=12).map(|i| time("gemm", 10.0 * f64::from(i))).collect();
        times.push(time("add", 1000.0));
        let all = Profile::new(times.clone(), Listed::All);
        assert_eq!(all.slowest.len(), 13);
        assert_eq!(all.slowest[12].computes, "gemm of 10");
        let profile = Profile::new(times, Listed::Slowest);
        assert_eq!(profile.kernels, all.kernels);
        assert_eq!(profile.slowest, all.slowest[..10]);
        let kernels: Vec<_> =
            profile.kernels.iter().map(|k| (k.kernel.as_str(), k.launches)).collect();
        assert_eq!(kernels, [("add", 1), ("gemm", 12)]);
        let shares: f64 = profile.kernels.iter().map(|kernel| kernel.share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert!((profile.kernels[1].gflops - 12_000.0 / 780.0).abs() < 1e-9);
        let first = &profile.slowest[0];
        assert_eq!((first.kernel.as_str(), first.milliseconds), ("add", 1e-3));
        assert_eq!((first.gflops, first.gigabytes_per_second), (1.0, 0.4));
        assert_eq!(profile.slowest[9].computes, "gemm of 40");
    }

    #[test]
    fn one_disturbed_run_does_not_count() {
        let runs = [10.0, 900.0, 12.0].map(|ns| vec![time("gemm", ns), time("add", 2.0 * ns)]);
        let middle: Vec<f64> = medians(runs.to_vec()).iter().map(|t| t.nanoseconds).collect();
        assert_eq!(middle, [12.0, 24.0]);
    }
}
