//! Descriptions for JavaScript; the package's types say what the fields mean.

use serde::Serialize;

use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::files::safetensors::Entry;
use crate::kernels::Precision;
use crate::weights::{FileKind, Metadata};

/// What the module runs on, as JavaScript calls it.
pub(super) const KIND: &str = if cfg!(feature = "gpu") { "webgpu" } else { "cpu" };

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WeightsInfo {
    pub format: String,
    pub kind: &'static str,
    pub description: String,
    pub parameters: usize,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    pub metadata: Metadata,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelInfo {
    pub device: &'static str,
    pub config: ModelConfig,
    pub grid: [usize; 2],
    pub weights: WeightsInfo,
    pub reconstructs: bool,
    pub normalization: Normalization,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TensorRange<'a> {
    pub name: &'a str,
    pub begin: u64,
    pub end: u64,
}

impl<'a> TensorRange<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        Self { name: &entry.name, begin: entry.begin, end: entry.end }
    }
}

/// A file of tensors that is to be written: its text entries, and what is in each part of the store.
#[derive(Serialize)]
pub(super) struct FileLayout<'a> {
    pub metadata: Metadata,
    pub parts: Vec<Vec<StoredTensor<'a>>>,
}

#[derive(Serialize)]
pub(super) struct StoredTensor<'a> {
    pub name: String,
    pub shape: &'a [usize],
    /// Its first value in the part.
    pub first: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrainerInfo<'a> {
    pub device: &'static str,
    pub config: &'a ModelConfig,
    pub grid: [usize; 2],
    pub parameters: usize,
    pub step: u64,
    pub total_steps: u64,
    pub batch_size: usize,
    pub grad_accum: usize,
    pub recompute: bool,
    pub precision: Precision,
    pub lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f32>,
    pub seed: u64,
    pub images: usize,
    pub flops_per_step: u64,
    pub device_bytes: u64,
    pub normalization: &'a Normalization,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepMetrics {
    pub step: u64,
    pub epoch: f64,
    pub loss: f32,
    pub lr: f32,
    pub grad_norm: f32,
    pub applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f32>,
}

pub(super) fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Mae => "mae",
        FileKind::EncoderOnly => "encoder",
        FileKind::DecoderOnly => "decoder",
        FileKind::Classifier => "classifier",
    }
}
