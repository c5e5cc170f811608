//! What was measured, in the form in which it is kept as JSON.

use serde::{Deserialize, Deserializer, Serialize};

#[cfg(feature = "native")]
use super::profile::Profile;
use super::timing::Measurement;
use super::workload::Mode;
use crate::config::ModelConfig;
use crate::kernels::Precision;
use crate::program::{Device, DeviceSummary};

/// A run of some workloads on one adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRecord {
    /// Version of this program.
    pub webmae: String,
    /// What it ran on.
    pub adapter: Adapter,
    /// What matrix products made of cooperative matrices; nothing where they did without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooperative_matrices: Option<String>,
    /// Variants of kernels that were asked for, e.g. `gemm=64×64/8×8 k8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_variants: Vec<String>,
    /// The best matrix product in each precision of the results; in older files one, in f32.
    #[serde(deserialize_with = "one_or_several")]
    pub gemm: Vec<Gemm>,
    /// One for each workload and mode.
    pub results: Vec<WorkloadResult>,
}

/// An adapter and its driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Name given by the driver.
    pub name: String,
    /// Graphics API.
    pub backend: String,
    /// Discrete, integrated, virtual or software.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
}

/// The best of the square matrix products in one precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gemm {
    /// How the operands were kept.
    #[serde(default)]
    pub precision: Precision,
    /// Rows and columns of the matrices.
    pub extent: usize,
    /// GFLOP per second.
    pub gflops: f64,
}

fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<Gemm>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Gemms {
        One(Gemm),
        Several(Vec<Gemm>),
    }
    Ok(match Gemms::deserialize(deserializer)? {
        Gemms::One(gemm) => vec![gemm],
        Gemms::Several(gemms) => gemms,
    })
}

/// A measured step of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadResult {
    /// Name of the workload.
    pub workload: String,
    /// Forward pass or training step.
    pub mode: Mode,
    /// The model, with all that options changed.
    pub model: ModelConfig,
    /// Images per batch.
    pub batch_size: usize,
    /// Whether the training step recomputed.
    pub recompute: bool,
    /// How weights and activations were kept.
    #[serde(default)]
    pub precision: Precision,
    /// Median milliseconds per step.
    pub ms_per_step: f64,
    /// Half the distance between the quartiles.
    pub ms_spread: f64,
    /// Milliseconds per step of every sample, ascending.
    pub ms_samples: Vec<f64>,
    /// Images per second.
    pub images_per_second: f64,
    /// GFLOP per second of matrix products and attention.
    pub gflops: f64,
    /// That over the best matrix product's in the same precision.
    pub share_of_best_gemm: f64,
    /// Milliseconds of a step in which the CPU uploads, encodes and submits.
    pub cpu_ms_per_step: f64,
    /// Kernel launches per step.
    pub dispatches: usize,
    /// Submissions per step.
    pub submits: usize,
    /// FLOPs of matrix products and attention per step.
    pub flops_per_step: u64,
    /// Loss of the last step; none where it was not finite, and in older files.
    #[serde(default)]
    pub loss: Option<f32>,
    /// Where the time goes.
    #[cfg(feature = "native")]
    #[serde(flatten)]
    pub profile: Option<Profile>,
}

impl BenchRecord {
    /// A run on `device` with these variants and best matrix products, without results yet.
    pub fn new(device: &Device, kernel_variants: Vec<String>, gemm: Vec<Gemm>) -> Self {
        let DeviceSummary { name, backend, kind, driver } = device.summary();
        Self {
            webmae: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: Adapter { name, backend, kind: kind.to_owned(), driver },
            cooperative_matrices: device.target().describe_cooperative(),
            kernel_variants,
            gemm,
            results: Vec::new(),
        }
    }

    /// The result of `workload` in `mode`.
    pub fn find(&self, workload: &str, mode: Mode) -> Option<&WorkloadResult> {
        self.results.iter().find(|result| result.workload == workload && result.mode == mode)
    }

    /// The best matrix product in `precision`, if that was measured.
    pub fn best_product(&self, precision: Precision) -> Option<&Gemm> {
        self.gemm.iter().find(|gemm| gemm.precision == precision)
    }
}

impl WorkloadResult {
    /// What `measured` says of `workload`, beside the `best` matrix product.
    pub fn new(workload: &str, measured: &Measurement, best: &Gemm) -> Self {
        let spec = &measured.spec;
        Self {
            workload: workload.to_owned(),
            mode: spec.mode,
            model: spec.model.clone(),
            batch_size: spec.batch_size,
            recompute: spec.recompute,
            precision: spec.precision,
            ms_per_step: measured.milliseconds.median(),
            ms_spread: measured.milliseconds.spread(),
            ms_samples: measured.milliseconds.values().to_vec(),
            images_per_second: measured.images_per_second(),
            gflops: measured.gflops(),
            share_of_best_gemm: measured.gflops() / best.gflops,
            cpu_ms_per_step: measured.cpu_milliseconds,
            dispatches: measured.dispatches,
            submits: measured.submits,
            flops_per_step: measured.flops,
            loss: measured.loss.is_finite().then_some(measured.loss),
            #[cfg(feature = "native")]
            profile: measured.profile.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of W1 with these modes and milliseconds per step.
    pub fn record(results: &[(Mode, f64)]) -> BenchRecord {
        let result = |&(mode, ms_per_step): &(Mode, f64)| WorkloadResult {
            workload: "W1".to_owned(),
            mode,
            model: ModelConfig::preset("tiny").unwrap(),
            batch_size: 64,
            recompute: false,
            precision: Precision::F32,
            ms_per_step,
            ms_spread: 0.03 * ms_per_step,
            ms_samples: vec![ms_per_step],
            images_per_second: 100.0,
            gflops: 10.0,
            share_of_best_gemm: 0.5,
            cpu_ms_per_step: 1.0,
            dispatches: 70,
            submits: 1,
            flops_per_step: 1 << 30,
            loss: Some(1.0),
            profile: None,
        };
        let word = str::to_owned;
        BenchRecord {
            webmae: word("0.1.0"),
            adapter: Adapter {
                name: word("Some GPU"),
                backend: word("vulkan"),
                kind: word("discrete GPU"),
                driver: word("some 1.2"),
            },
            cooperative_matrices: None,
            kernel_variants: Vec::new(),
            gemm: vec![Gemm { precision: Precision::F32, extent: 4096, gflops: 20.0 }],
            results: results.iter().map(result).collect(),
        }
    }
}
