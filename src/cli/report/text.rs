//! A report as people read it: Markdown.

use std::collections::BTreeMap;

use crate::measure::profile::{Profile, SlowDispatch};
use crate::measure::record::{Gemm, WorkloadResult};
use crate::measure::report::Report;
use crate::tune::{AttentionRecord, FormRecord, ProductRecord, TuningRecord};

/// Bytes of a launch whose rate says something of the memory's.
const LARGE: f64 = 16e6;

/// The report in Markdown.
pub(crate) fn markdown(report: &Report) -> String {
    let mut lines =
        vec![format!("# webmae {} on {}", report.bench.webmae, report.bench.adapter.name)];
    lines.push(String::new());
    about(report, &mut lines);
    verified(report, &mut lines);
    products(report, &mut lines);
    speeds(report, &mut lines);
    for result in &report.bench.results {
        if let (Some(profile), Some(best)) =
            (&result.profile, report.bench.best_product(result.precision))
        {
            roofline(result, profile, best, &mut lines);
        }
    }
    if !report.left_out.is_empty() {
        lines.push("\n## Left out\n".to_owned());
        lines.extend(report.left_out.iter().map(|what| format!("- {what}")));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn about(report: &Report, lines: &mut Vec<String>) {
    let adapter = &report.bench.adapter;
    let system = &report.system;
    lines.push(format!(
        "{} ({}, {}), driver {}; {} {}, {} threads; {:.0} s",
        adapter.name,
        adapter.backend,
        adapter.kind,
        adapter.driver,
        system.os,
        system.architecture,
        system.threads,
        report.seconds
    ));
    if let Some(matrices) = &report.bench.cooperative_matrices {
        lines.push(format!("\nCooperative matrices: {matrices}."));
    }
}

fn verified(report: &Report, lines: &mut Vec<String>) {
    let Some(verified) = &report.verified else { return };
    lines.push("\n## Right?\n".to_owned());
    let all = verified.agree + verified.wrong.len();
    lines.push(format!(
        "{} of {all} variants of kernels agree with their twins, in {} cases.",
        verified.agree, verified.cases
    ));
    for wrong in &verified.wrong {
        lines.push(format!("- **wrong**: {} ({}), {}", wrong.kernel, wrong.variant, wrong.worst));
    }
}

fn products(report: &Report, lines: &mut Vec<String>) {
    let Some(products) = &report.products else { return };
    lines.push("\n## Products\n".to_owned());
    lines.push(
        "| operands | product | M, N, K | timed of it | tile | parts | GFLOP/s | next |".to_owned(),
    );
    lines.push("|---|---|---|---|---|---|---|---|".to_owned());
    for ProductRecord { operands, layout, sizes, timed, measured } in &products.products {
        let used = measured.iter().find(|candidate| candidate.used);
        let next = measured.iter().find(|candidate| !candidate.used);
        if let Some(chosen) = used {
            lines.push(format!(
                "| {} | {layout} | {} | {} | {} | {} | {:.0} | {:.0} |",
                operands.name(),
                sizes.map(|size| size.to_string()).join(", "),
                timed.map(|size| size.to_string()).join(", "),
                chosen.tile,
                chosen.parts,
                chosen.gflops,
                next.map_or(0.0, |candidate| candidate.gflops)
            ));
        }
    }
    for wrong in &products.wrong {
        lines.push(format!("\nWrong products, not used: {wrong}"));
    }
    attention(products, lines);
}

fn attention(tuning: &TuningRecord, lines: &mut Vec<String>) {
    lines.push("\n| operands | tokens | values a head | attention | GFLOP/s |".to_owned());
    lines.push("|---|---|---|---|---|".to_owned());
    for AttentionRecord { operands, tokens, dim_head, measured } in &tuning.attention {
        for FormRecord { form, gflops, used } in measured {
            let used = if *used { " (used)" } else { "" };
            let [operands, form] = [operands.name(), form.name()];
            lines.push(format!(
                "| {operands} | {tokens} | {dim_head} | {form}{used} | {gflops:.0} |"
            ));
        }
    }
    for wrong in &tuning.wrong_attention {
        lines.push(format!("\nWrong attention, not used: {}", wrong.name()));
    }
}

fn speeds(report: &Report, lines: &mut Vec<String>) {
    lines.push("\n## Speed\n".to_owned());
    for gemm in &report.bench.gemm {
        let Gemm { extent, gflops, .. } = gemm;
        let precision = gemm.precision.name();
        lines.push(format!("Best product in {precision}: {gflops:.0} GFLOP/s ({extent}³).\n"));
    }
    lines.push(
        "| workload | precision | batch | ms a step | images/s | GFLOP/s | of the best product | CPU ms | submissions |"
            .to_owned(),
    );
    lines.push("|---|---|---|---|---|---|---|---|---|".to_owned());
    for result in &report.bench.results {
        lines.push(format!(
            "| {} {} | {} | {} | {:.2} ± {:.2} | {:.1} | {:.0} | {:.0} % | {:.2} | {} |",
            result.workload,
            result.mode.name(),
            result.precision.name(),
            result.batch_size,
            result.ms_per_step,
            result.ms_spread,
            result.images_per_second,
            result.gflops,
            100.0 * result.share_of_best_gemm,
            result.cpu_ms_per_step,
            result.submits
        ));
    }
    for result in report.bench.results.iter().filter(|result| result.loss.is_none()) {
        let (mode, precision) = (result.mode.name(), result.precision.name());
        lines.push(format!(
            "\n**The loss of {} {mode} in {precision} is not finite.**",
            result.workload
        ));
    }
}

/// Bytes that a launch binds.
fn bytes(launch: &SlowDispatch) -> f64 {
    launch.gigabytes_per_second * launch.milliseconds * 1e6
}

/// Time of a workload's kernels, beside what they would take at the best rates that were seen on the device: that of the
/// best product, and that of the launch that moved its bytes fastest.
fn roofline(result: &WorkloadResult, profile: &Profile, best: &Gemm, lines: &mut Vec<String>) {
    let fastest = profile
        .slowest
        .iter()
        .filter(|launch| bytes(launch) > LARGE)
        .map(|launch| launch.gigabytes_per_second)
        .fold(0.0, f64::max);
    let floor = |launch: &SlowDispatch| {
        let multiplying = launch.gflops * launch.milliseconds / best.gflops;
        let moving = if fastest > 0.0 { bytes(launch) / fastest / 1e6 } else { 0.0 };
        f64::max(multiplying, moving)
    };
    let mut floors: BTreeMap<&str, f64> = BTreeMap::new();
    for launch in &profile.slowest {
        *floors.entry(&launch.kernel).or_default() += floor(launch);
    }
    lines.push(format!(
        "\n### {} {} in {}, batch {}\n",
        result.workload,
        result.mode.name(),
        result.precision.name(),
        result.batch_size
    ));
    if fastest > 0.0 {
        lines.push(format!("Fastest memory seen: {fastest:.0} GB/s.\n"));
    }
    lines.push("| kernel | launches | ms | share | GFLOP/s | times its floor |".to_owned());
    lines.push("|---|---|---|---|---|---|".to_owned());
    for time in &profile.kernels {
        let floor = floors.get(time.kernel.as_str()).copied().unwrap_or_default();
        let times =
            if floor > 0.0 { format!("{:.1}", time.milliseconds / floor) } else { String::new() };
        lines.push(format!(
            "| {} | {} | {:.3} | {:.1} % | {:.0} | {times} |",
            time.kernel,
            time.launches,
            time.milliseconds,
            100.0 * time.share,
            time.gflops
        ));
    }
}
