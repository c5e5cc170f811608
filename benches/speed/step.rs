//! Whole steps of the smallest workload; `webmae bench` measures the others.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use webmae::ModelConfig;
use webmae::block_on;
use webmae::kernels::Precision;
use webmae::measure::step::{BenchStep, StepSpec};
use webmae::measure::workload::{Mode, WORKLOADS};
use webmae::program::Device;

use super::program::QUEUED;

/// Forward pass and training step of W1.
pub fn steps(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("step");
    let workload = WORKLOADS[0];
    for mode in Mode::ALL {
        let model = ModelConfig::preset(workload.preset).expect("a preset");
        let batch_size = workload.batch_size(mode, device.target().processor);
        let spec =
            StepSpec { model, mode, batch_size, recompute: false, precision: Precision::F32 };
        let mut step = block_on(BenchStep::new(device, &spec)).expect("a step");
        group.throughput(Throughput::Elements(step.flops()));
        let id = BenchmarkId::new(format!("{} {}", workload.name, mode.name()), batch_size);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|runs| {
                let began = Instant::now();
                for run in 1..=runs {
                    block_on(step.submit()).expect("a step");
                    if run % QUEUED == 0 || run == runs {
                        block_on(step.wait()).expect("a result");
                    }
                }
                began.elapsed()
            });
        });
    }
    group.finish();
}
