//! The tables of measured workloads.

use crate::measure::profile::Profile;
use crate::measure::record::{BenchRecord, Gemm, WorkloadResult};

/// What was measured on, and the columns' names.
pub(crate) fn head(record: &BenchRecord) {
    let adapter = &record.adapter;
    // The processor has no API: what the twins use of it says more.
    match adapter.backend.as_str() {
        "cpu" => say!("{} ({})", adapter.name, adapter.driver),
        backend => say!("{} ({backend}, {})", adapter.name, adapter.kind),
    }
    if let Some(matrices) = &record.cooperative_matrices {
        say!("cooperative matrices: {matrices}");
    }
    if !record.kernel_variants.is_empty() {
        say!("kernels: {}", record.kernel_variants.join(", "));
    }
    for gemm in &record.gemm {
        let Gemm { extent, gflops, .. } = gemm;
        say!("best matrix product in {}: {gflops:.1} GFLOP/s ({extent}³)", gemm.precision.name());
    }
    say!("");
    say!(
        "{:<11}{:>6}{:>18}{:>11}{:>10}{:>9}{:>9}{:>11}{:>9}",
        "workload",
        "batch",
        "ms/step",
        "images/s",
        "GFLOP/s",
        "of best",
        "CPU ms",
        "dispatches",
        "submits"
    );
}

/// A workload's line.
pub(crate) fn row(result: &WorkloadResult) {
    say!(
        "{:<11}{:>6}{:>18}{:>11.1}{:>10.1}{:>8.0}%{:>9.2}{:>11}{:>9}",
        format!("{} {}", result.workload, result.mode.name()),
        result.batch_size,
        format!("{:.2} ± {:.2}", result.ms_per_step, result.ms_spread),
        result.images_per_second,
        result.gflops,
        100.0 * result.share_of_best_gemm,
        result.cpu_ms_per_step,
        result.dispatches,
        result.submits,
    );
}

/// Where its time goes.
pub(crate) fn profile(profile: Option<&Profile>) {
    let Some(Profile { kernels, slowest }) = profile else {
        say!("    this adapter has no timestamp queries");
        return;
    };
    for time in kernels {
        say!(
            "    {:<34}{:>6.1} %{:>10.3} ms{:>6} launches{:>9.1} GFLOP/s",
            time.kernel,
            100.0 * time.share,
            time.milliseconds,
            time.launches,
            time.gflops,
        );
    }
    let launches: usize = kernels.iter().map(|time| time.launches).sum();
    match slowest.len() {
        listed if listed == launches => say!("    all {listed} dispatches, the longest first:"),
        listed => say!("    the {listed} most expensive dispatches:"),
    }
    for time in slowest {
        say!(
            "    {:<34}{:>6.1} %{:>10.3} ms{:>9.1} GFLOP/s{:>8.1} GB/s  {}: {}",
            time.kernel,
            100.0 * time.share,
            time.milliseconds,
            time.gflops,
            time.gigabytes_per_second,
            time.computes,
            time.sizes,
        );
    }
}
