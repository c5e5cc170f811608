//! What a report measures, one after the other, as long as there is time.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use web_time::Instant;

use super::Repeats;
use super::product::{best_product, largest_extent, squares};
#[cfg(feature = "native")]
use super::profile::Listed;
use super::record::{BenchRecord, WorkloadResult};
#[cfg(feature = "native")]
use super::report::System;
use super::report::{Report, Verified};
use super::step::StepSpec;
use super::timing::measure;
use super::workload::{Mode, Workload};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{Precision, ProgramShapes};
use crate::model::params::mae_params;
use crate::model::store::ParamLayout;
use crate::program::Device;
use crate::tune::{Effort, Tuning, TuningRecord};
use crate::verify::{Verdict, cases, verdicts};

/// Share of the time after which no further case is verified.
const VERIFYING: f64 = 0.3;
/// Share of the time for measuring products, in each precision.
const TUNING: f64 = 0.1;
/// Where nothing was measured yet, a step is expected to reach this share of the best product.
const EXPECTED: f64 = 0.3;
/// Steps that a workload takes at least: to warm up, to see how long one is, and one a sample.
const REPEATS: Repeats = Repeats { warmup: 1, samples: 3 };
/// The profile runs each step so often more.
const PROFILING: usize = 3;
/// Time of a workload whose steps are short.
const SHORT: Duration = Duration::from_secs(4);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// How long it may take, about.
    pub time: Duration,
    /// The workloads, each in both modes.
    pub workloads: &'static [Workload],
    /// Whether kernels are verified in models of the size of ViT-B too, on a GPU.
    pub large_models: bool,
    /// Whether every tile is measured and every number of parts, instead of the likely ones.
    pub all_divisions: bool,
    /// Whether a batch that there is no time for is made smaller, instead of leaving it out.
    pub smaller_batches: bool,
    /// Which launches of a workload are timed one by one.
    #[cfg(feature = "native")]
    pub listed: Option<Listed>,
}

/// What a report consists of, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Station {
    /// Each kernel beside its twin.
    Verify,
    /// Matrix products, and how they are divided best.
    Products,
    /// Steps of the workloads.
    Workloads,
}

/// What is being done.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Now<'a> {
    /// Where in the report.
    pub station: Station,
    /// What exactly.
    pub what: &'a str,
    /// How much of it is done …
    pub done: usize,
    /// … of how much.
    pub all: usize,
}

/// What happens while a report is made.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something begins or goes on.
    Now(Now<'a>),
    /// Something is left out, with the reason.
    LeftOut(&'a str),
    /// The report has more than before.
    Found(&'a Report),
}

/// Measures until the time is out.
pub struct Measuring<'a> {
    device: &'a Device,
    scope: Scope,
    began: Instant,
    report: Report,
    tuning: Tuning,
    tell: &'a mut dyn FnMut(Event<'_>) -> Result<()>,
}

impl<'a> Measuring<'a> {
    /// Nothing measured yet. `tell` hears what happens; what it fails with ends the measuring.
    pub fn new(
        device: &'a Device,
        scope: Scope,
        tell: &'a mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Self {
        let report = Report {
            finished: false,
            #[cfg(feature = "native")]
            system: System::here(),
            adapter: device.gpu().map(|gpu| gpu.adapter().clone()),
            verified: None,
            products: None,
            bench: BenchRecord::new(device, Vec::new(), Vec::new()),
            left_out: Vec::new(),
            seconds: 0.0,
        };
        Self { device, scope, began: Instant::now(), report, tuning: Tuning::default(), tell }
    }

    /// Everything.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`] or [`Error::Device`] if the device failed, and what `tell` fails
    /// with.
    pub async fn run(mut self) -> Result<Report> {
        let precisions: Vec<Precision> = [Precision::F32, Precision::F16]
            .into_iter()
            .filter(|&precision| self.device.check_precision(precision).is_ok())
            .collect();
        self.found()?;
        let gpu = self.device.gpu().cloned();
        match &gpu {
            Some(gpu) => self.verify(gpu).await?,
            None => self.leave_out("verify and tune: the processor is no GPU".to_owned())?,
        }
        for &precision in &precisions {
            self.products(gpu.as_ref(), precision).await?;
        }
        let mut runs = Vec::new();
        for mode in [Mode::Train, Mode::Forward] {
            for &precision in &precisions {
                runs.extend(
                    self.scope.workloads.iter().map(|&workload| (workload, mode, precision)),
                );
            }
        }
        let all = runs.len();
        for (done, (workload, mode, precision)) in runs.into_iter().enumerate() {
            self.bench(workload, mode, precision, [done, all]).await?;
            self.found()?;
        }
        self.report.finished = true;
        self.found()?;
        Ok(self.report)
    }

    fn left(&self) -> Duration {
        self.scope.time.saturating_sub(self.began.elapsed())
    }

    fn now(&mut self, station: Station, what: &str, [done, all]: [usize; 2]) -> Result<()> {
        (self.tell)(Event::Now(Now { station, what, done, all }))
    }

    fn found(&mut self) -> Result<()> {
        self.report.seconds = self.began.elapsed().as_secs_f64();
        (self.tell)(Event::Found(&self.report))
    }

    fn leave_out(&mut self, what: String) -> Result<()> {
        (self.tell)(Event::LeftOut(&what))?;
        self.report.left_out.push(what);
        Ok(())
    }

    async fn verify(&mut self, gpu: &Gpu) -> Result<()> {
        let all = cases(gpu, self.scope.large_models && !gpu.adapter().is_software());
        let (mut done, mut comparisons) = (0, Vec::new());
        for case in &all {
            if self.began.elapsed() > self.scope.time.mul_f64(VERIFYING) {
                break;
            }
            self.now(Station::Verify, case.name(), [done, all.len()])?;
            comparisons.extend(case.compare(gpu).await?);
            done += 1;
            let (right, wrong): (Vec<Verdict>, Vec<Verdict>) =
                verdicts(&comparisons).into_iter().partition(Verdict::holds);
            self.report.verified = Some(Verified { cases: done, agree: right.len(), wrong });
            self.found()?;
        }
        if done < all.len() {
            let rest = all.len() - done;
            self.leave_out(format!("{rest} of {} cases of verify: no time", all.len()))?;
        }
        Ok(())
    }

    /// Square products of the extent that suits the device, and those of the workloads' training steps; the best of the
    /// former.
    async fn products(&mut self, gpu: Option<&Gpu>, precision: Precision) -> Result<()> {
        let name = precision.name();
        self.now(Station::Products, name, [0, 1])?;
        let extent = largest_extent(self.device, precision).await?;
        if let Some(gpu) = gpu {
            let mut shapes = ProgramShapes {
                products: BTreeSet::from(squares(precision, extent)),
                ..Default::default()
            };
            let mut effort = Effort::default();
            // A driver in software would take minutes.
            if !gpu.adapter().is_software() {
                shapes.extend(&self.shapes_of_workloads(gpu, precision)?);
                effort.budget = self.scope.time.mul_f64(TUNING);
                effort.all = self.scope.all_divisions;
            }
            let tell = &mut *self.tell;
            let mut outcome = Ok(());
            let mut turn = async |done, all| {
                let now = Now { station: Station::Products, what: name, done, all };
                if outcome.is_ok() {
                    outcome = tell(Event::Now(now));
                }
            };
            let tuning = Tuning::measure(gpu, &shapes, effort, &mut turn).await?;
            outcome?;
            let mut products = gpu.products();
            tuning.add_to(&mut products);
            gpu.set_products(products);
            self.tuning.add(tuning);
            self.report.products = Some(TuningRecord::new(gpu, &self.tuning));
        }
        let best = best_product(self.device, precision, extent).await?;
        self.report.bench.gemm.push(best);
        self.report.bench.cooperative_matrices = self.device.target().describe_cooperative();
        self.found()
    }

    fn shapes_of_workloads(&self, gpu: &Gpu, precision: Precision) -> Result<ProgramShapes> {
        let mut shapes = ProgramShapes::default();
        for workload in self.scope.workloads {
            let (mode, recompute) = (Mode::Train, false);
            let batch_size = workload.batch_size(mode, self.device.target().processor);
            let model = ModelConfig::preset(workload.preset)?;
            let step = StepSpec { model, mode, batch_size, recompute, precision };
            shapes.extend(&step.shapes(gpu));
        }
        Ok(shapes)
    }

    /// Measures a workload: `done` of `all` were before it.
    async fn bench(
        &mut self,
        workload: Workload,
        mode: Mode,
        precision: Precision,
        [done, all]: [usize; 2],
    ) -> Result<()> {
        let what = format!("{} {} in {}", workload.name, mode.name(), precision.name());
        let model = ModelConfig::preset(workload.preset)?;
        let batch_size = workload.batch_size(mode, self.device.target().processor);
        let mut spec = StepSpec { model, mode, batch_size, recompute: false, precision };
        let best = *self.report.bench.best_product(precision).expect("measured before");
        let (mut time, mut smallest) = (self.left(), batch_size);
        if self.scope.smaller_batches {
            // Those that follow want theirs.
            (time, smallest) = (time / (all - done) as u32, 1);
        }
        let fits = |batch_size: &usize| {
            let spec = StepSpec { batch_size: *batch_size, ..spec.clone() };
            self.expected(&spec, best.gflops) <= time
        };
        let Some(fitting) = halves(batch_size, smallest).find(fits) else {
            return self.leave_out(format!("{what}: no time"));
        };
        spec.batch_size = fitting;
        self.now(Station::Workloads, &what, [done, all])?;
        let measured = measure(
            self.device,
            spec,
            REPEATS,
            #[cfg(feature = "native")]
            self.scope.listed,
        );
        match measured.await {
            Ok(measured) => {
                let result = WorkloadResult::new(workload.name, &measured, &best);
                self.report.bench.results.push(result);
                Ok(())
            }
            Err(error @ (Error::DoesNotFit { .. } | Error::OutOfMemory { .. })) => {
                self.leave_out(format!("{what}: {error}"))
            }
            Err(error) => Err(error),
        }
    }

    /// How long a workload will take, by the rate of those before.
    fn expected(&self, spec: &StepSpec, best: f64) -> Duration {
        let rates = self.report.bench.results.iter().map(|result| result.gflops);
        let slowest = rates.fold(EXPECTED * best, f64::min).max(1e-3);
        let (specs, limit) = (mae_params(&spec.model), self.device.max_binding());
        let layout = ParamLayout::with_precision(specs, limit, spec.precision);
        let flops = spec
            .train()
            .plan(&self.device.target(), &layout, u64::MAX)
            .map_or(0, |plans| plans.iter().map(|plan| plan.flops).sum::<u64>());
        let step = Duration::from_secs_f64(flops as f64 / slowest / 1e9);
        let profiling = if self.profiles() { PROFILING } else { 0 };
        step * (REPEATS.warmup + REPEATS.samples + 1 + profiling) as u32 + SHORT
    }

    #[cfg(feature = "native")]
    fn profiles(&self) -> bool {
        self.scope.listed.is_some()
    }

    #[cfg(not(feature = "native"))]
    fn profiles(&self) -> bool {
        false
    }
}

/// `largest`, half of it and so on, as far as `smallest`.
fn halves(largest: usize, smallest: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(largest), |n| Some(n / 2)).take_while(move |&n| n >= smallest)
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::cpu::Cpu;
    use crate::measure::workload::WORKLOADS;

    /// What happens within this time on the processor: the lines that are told, and the report.
    fn measured(time: Duration, smaller_batches: bool) -> (Vec<String>, Report) {
        let scope = Scope {
            time,
            workloads: &WORKLOADS[..1],
            large_models: false,
            all_divisions: false,
            smaller_batches,
            listed: None,
        };
        let mut told = Vec::new();
        let mut tell = |event: Event<'_>| {
            told.push(match event {
                Event::Now(Now { station, what, .. }) => format!("{station:?} {what}"),
                Event::LeftOut(what) => format!("not {what}"),
                Event::Found(report) => format!("found, finished: {}", report.finished),
            });
            Ok(())
        };
        let device = Device::from(Cpu::default());
        let report = block_on(Measuring::new(&device, scope, &mut tell).run()).unwrap();
        (told, report)
    }

    #[test]
    fn batches_are_halved() {
        assert_eq!(halves(64, 64).collect::<Vec<_>>(), [64]);
        assert_eq!(halves(12, 1).collect::<Vec<_>>(), [12, 6, 3, 1]);
    }

    #[test]
    fn what_there_is_no_time_for_is_named() {
        let (told, report) = measured(Duration::ZERO, true);
        assert!(report.finished && report.bench.results.is_empty());
        let left_out = [
            "verify and tune: the processor is no GPU",
            "W1 train in f32: no time",
            "W1 train in f16: no time",
            "W1 forward in f32: no time",
            "W1 forward in f16: no time",
        ];
        assert_eq!(report.left_out, left_out);
        for what in left_out {
            assert!(told.contains(&format!("not {what}")), "{told:?}");
        }
        assert_eq!(report.bench.gemm.len(), 2);
        assert_eq!(told.first().unwrap(), "found, finished: false");
        assert_eq!(told.last().unwrap(), "found, finished: true");
    }

    #[test]
    fn what_there_is_little_time_for_is_measured_with_fewer_images() {
        // The shortest time in which every workload has a share that is more than nothing.
        let (told, report) = measured(SHORT * 5, true);
        assert_eq!(report.bench.results.len(), 4, "{told:?}");
        for result in &report.bench.results {
            assert!((1..=64).contains(&result.batch_size) && result.images_per_second > 0.0);
            assert!(result.loss.is_some_and(|loss| loss > 0.0), "{:?}", result.loss);
        }
        assert!(told.contains(&"Workloads W1 forward in f16".to_owned()), "{told:?}");
    }
}
