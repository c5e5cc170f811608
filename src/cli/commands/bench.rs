//! `webmae bench`: how fast the reference workloads run on a GPU or the processor, and how fast batches
//! are prepared.

use std::collections::BTreeSet;

use pollster::block_on;
use serde::Serialize;

use crate::cli::bench::against::Against;
use crate::cli::bench::args::Args;
use crate::cli::bench::compare::Ratio;
use crate::cli::bench::variants::Variants;
use crate::cli::bench::{batches, print, runs};
use crate::cli::open::open_device;
use crate::cli::output::check_file;
use crate::cli::print::print_json;
use crate::error::Result;
use crate::kernels::Precision;
use crate::measure::product::{best_product, largest_extent};
use crate::measure::record::{BenchRecord, WorkloadResult};
use crate::measure::step::StepSpec;
use crate::measure::timing::measure;
use crate::program::{Device, DeviceOptions};

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    record: &'a BenchRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Vec<Ratio>>,
}

/// Measures and prints.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    if let Some(data) = &args.data {
        return batches::run(args, data);
    }
    let saved = args.compare.as_deref().map(BenchRecord::load).transpose()?;
    if let Some(path) = &args.save {
        check_file(path)?;
    }
    let runs = runs::choose(args, saved.as_ref())?;
    let against = saved.map(|saved| Against { saved, fail_below: args.fail_below });
    let variants = Variants::parse(&args.kernels)?;
    let mut options = options.clone();
    variants.change(&mut options.gpu);
    let device = open_device(&options)?;
    let record = measure_all(args, &device, variants, &runs)?;
    if let Some(path) = &args.save {
        record.save(path)?;
    }
    if args.json {
        let compared = against.as_ref().map(|against| against.ratios(&record));
        print_json(&Output { record: &record, compared })?;
    } else if let Some(against) = &against {
        against.print(&record);
    }
    against.map_or(Ok(()), |against| against.judge(&record))
}

fn measure_all(
    args: &Args,
    device: &Device,
    variants: Variants,
    runs: &[runs::ChosenRun],
) -> Result<BenchRecord> {
    let precisions: BTreeSet<Precision> = runs.iter().map(|run| run.precision).collect();
    let variants = variants.resolve(device, &precisions)?;
    // With the tiles that suit it best, whatever the steps have to take.
    let best = precisions.iter().map(|&precision| {
        block_on(best_product(device, precision, block_on(largest_extent(device, precision))?))
    });
    let mut record = BenchRecord::new(device, variants.names.clone(), best.collect::<Result<_>>()?);
    variants.force(device);
    if !args.json {
        print::head(&record);
    }
    for run in runs {
        let model = args.model.config(run.workload.preset)?;
        let batch_size = run
            .batch_size
            .unwrap_or_else(|| run.workload.batch_size(run.mode, device.target().processor));
        let runs::ChosenRun { mode, recompute, precision, .. } = *run;
        let spec = StepSpec { model, mode, batch_size, recompute, precision };
        let measured = block_on(measure(device, spec, args.repeats(), args.profile))?;
        let best = record.best_product(precision).expect("measured for each precision");
        let result = WorkloadResult::new(run.workload.name, &measured, best);
        if !args.json {
            print::row(&result);
            if args.profile.is_some() {
                print::profile(result.profile.as_ref());
            }
        }
        record.results.push(result);
    }
    Ok(record)
}
