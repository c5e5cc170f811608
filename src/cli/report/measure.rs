//! What a report measures, one after the other, as long as there is time.

use std::time::{Duration, Instant};

use pollster::block_on;

use super::record::{Report, System, Verified};
use crate::cli::bench::Repeats;
use crate::cli::bench::gemm::best_product;
use crate::cli::bench::measure::measure;
use crate::cli::bench::profile::Listed;
use crate::cli::bench::record::{BenchRecord, WorkloadResult};
use crate::cli::bench::step::StepSpec;
use crate::cli::bench::workload::{Mode, WORKLOADS, Workload};
use crate::cli::commands::tune;
use crate::cli::tiles;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::{Precision, ProgramShapes};
use crate::model::params::mae_params;
use crate::model::store::ParamLayout;
use crate::program::Device;
use crate::tune::Effort;
use crate::verify::{Verdict, cases, verdicts};

/// Share of the time after which no further case is verified.
const VERIFYING: f64 = 0.3;
/// Share of the time for measuring products, in each precision.
const TUNING: f64 = 0.1;
/// Where nothing was measured yet, a step is expected to reach this share of the best product.
const EXPECTED: f64 = 0.3;
/// Steps that a workload takes at least: to warm up, to see how long one is, and one a sample.
const REPEATS: Repeats = Repeats { warmup: 1, samples: 3 };
/// Time of a workload whose steps are short.
const SHORT: Duration = Duration::from_secs(4);

/// Measures until the time is out, and hands what there is to `keep` after every stage.
pub(crate) struct Measuring<'a> {
    device: &'a Device,
    began: Instant,
    time: Duration,
    report: Report,
    keep: &'a mut dyn FnMut(&Report) -> Result<()>,
}

impl<'a> Measuring<'a> {
    /// Nothing measured yet, of a device that may be measured for `time`.
    pub fn new(
        device: &'a Device,
        time: Duration,
        keep: &'a mut dyn FnMut(&Report) -> Result<()>,
    ) -> Self {
        let report = Report {
            system: System::here(),
            adapter: device.gpu().map(|gpu| gpu.adapter().clone()),
            verified: None,
            products: None,
            bench: BenchRecord::new(device, Vec::new(), Vec::new()),
            left_out: Vec::new(),
            seconds: 0.0,
        };
        Self { device, began: Instant::now(), time, report, keep }
    }

    /// Everything.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed, [`Error::Io`] if the report cannot be kept.
    pub fn run(mut self) -> Result<Report> {
        let precisions: Vec<Precision> = [Precision::F32, Precision::F16]
            .into_iter()
            .filter(|&precision| self.device.check_precision(precision).is_ok())
            .collect();
        match self.device.gpu().cloned() {
            Some(gpu) => {
                self.verify(&gpu)?;
                self.keep()?;
                self.tune(&gpu, &precisions)?;
            }
            None => self.leave_out("verify and tune: the processor is no GPU".to_owned()),
        }
        for &precision in &precisions {
            complain!("the best product in {}", precision.name());
            let best = best_product(self.device, precision)?;
            self.report.bench.gemm.push(best);
        }
        self.report.bench.cooperative_matrices = self.device.target().describe_cooperative();
        self.keep()?;
        for mode in [Mode::Train, Mode::Forward] {
            for &precision in &precisions {
                for workload in WORKLOADS {
                    self.bench(workload, mode, precision)?;
                    self.keep()?;
                }
            }
        }
        Ok(self.report)
    }

    fn spent(&self) -> f64 {
        self.began.elapsed().as_secs_f64() / self.time.as_secs_f64()
    }

    fn keep(&mut self) -> Result<()> {
        self.report.seconds = self.began.elapsed().as_secs_f64();
        (self.keep)(&self.report)
    }

    fn leave_out(&mut self, what: String) {
        complain!("left out: {what}");
        self.report.left_out.push(what);
    }

    fn verify(&mut self, gpu: &Gpu) -> Result<()> {
        let large = !gpu.adapter().is_software();
        let all = cases(gpu, large);
        let (mut done, mut comparisons) = (0, Vec::new());
        for case in &all {
            if self.spent() > VERIFYING {
                break;
            }
            complain!("verify: {}", case.name());
            comparisons.extend(block_on(case.compare(gpu))?);
            done += 1;
        }
        let (right, wrong): (Vec<Verdict>, Vec<Verdict>) =
            verdicts(&comparisons).into_iter().partition(Verdict::holds);
        self.report.verified = Some(Verified { cases: done, agree: right.len(), wrong });
        if done < all.len() {
            let rest = all.len() - done;
            self.leave_out(format!("{rest} of {} cases of verify: no time", all.len()));
        }
        Ok(())
    }

    fn tune(&mut self, gpu: &Gpu, precisions: &[Precision]) -> Result<()> {
        if gpu.adapter().is_software() {
            self.leave_out("tune: a driver in software would take minutes".to_owned());
            return Ok(());
        }
        complain!("tune");
        let mut shapes = ProgramShapes::default();
        for (workload, &precision) in
            WORKLOADS.iter().flat_map(|w| precisions.iter().map(move |precision| (w, precision)))
        {
            let batch_size = workload.batch_size(Mode::Train, self.device.target().processor);
            let model = ModelConfig::preset(workload.preset)?;
            let (mode, recompute) = (Mode::Train, false);
            let step = StepSpec { model, mode, batch_size, recompute, precision };
            shapes.extend(&tune::shapes_of(gpu, &step));
        }
        let effort = Effort { budget: self.time.mul_f64(TUNING), all: true, ..Effort::default() };
        let tuning = tiles::measure(gpu, &shapes, effort)?;
        self.report.products = Some(tune::to_json(gpu, &tuning));
        Ok(())
    }

    fn bench(&mut self, workload: Workload, mode: Mode, precision: Precision) -> Result<()> {
        let what = format!("{} {} in {}", workload.name, mode.name(), precision.name());
        let model = ModelConfig::preset(workload.preset)?;
        let batch_size = workload.batch_size(mode, self.device.target().processor);
        let spec = StepSpec { model, mode, batch_size, recompute: false, precision };
        let best = *self.report.bench.best_product(precision).expect("measured before");
        let left = self.time.saturating_sub(self.began.elapsed());
        if self.expected(&spec, best.gflops) > left {
            self.leave_out(format!("{what}: no time"));
            return Ok(());
        }
        complain!("{what}");
        match measure(self.device, spec, REPEATS, Some(Listed::All)) {
            Ok(measured) => {
                let result = WorkloadResult::new(workload.name, &measured, &best);
                self.report.bench.results.push(result);
            }
            Err(error @ (Error::DoesNotFit { .. } | Error::OutOfMemory { .. })) => {
                self.leave_out(format!("{what}: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
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
        // The profile runs it three times more.
        step * (REPEATS.warmup + REPEATS.samples + 1 + 3) as u32 + SHORT
    }
}
