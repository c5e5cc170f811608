//! The encoder of trained weights, for the commands that use features.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::files::FilesArgs;
use super::weights::OverrideArgs;
use crate::cli::format::choice;
use crate::cli::print::note;
use crate::config::ModelConfig;
use crate::data::{Normalization, SourceOptions};
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::model::params::{encoder_or_mae_params, is_decoder};
use crate::model::store::ParamStore;
use crate::program::Device;
use crate::train::features::Encoder;
use crate::weights::FileKind;

/// Which encoder, and how its tokens become one feature.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EncoderArgs {
    /// Run folder, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or Hugging Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// How tokens become one feature [default: cls where the model has a cls token, else mean]
    #[arg(long)]
    pool: Option<Pool>,
    /// Images that go through the network at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// An encoder on a device.
pub(crate) struct OpenEncoder {
    device: Device,
    config: ModelConfig,
    store: ParamStore,
    normalization: Normalization,
    /// How tokens become one feature.
    pub pool: Pool,
    /// Images at a time.
    pub batch_size: usize,
    /// Which weights and pooling were taken; for `--json`.
    pub taken: Map<String, Value>,
}

impl EncoderArgs {
    /// Reads the weights and brings the encoder to the device that `device` opens then; says what it
    /// found, unless `quiet`.
    ///
    /// # Errors
    /// Names the file or option, and the mend.
    pub(crate) fn open(
        &self,
        device: impl FnOnce() -> Result<Device>,
        quiet: bool,
    ) -> Result<OpenEncoder> {
        let (weights, normalization, whose) =
            self.overrides.open_for(&self.weights, FileKind::EncoderOnly, quiet)?;
        let pool = self.pool.unwrap_or(Pool::usual(&weights.config));
        let mut taken = weights.taken();
        taken.insert("pool".to_owned(), json!(pool));
        let config = weights.config;
        let device = device()?;
        // Features need no decoder.
        let has = |name: &str| !is_decoder(name) && weights.tensors.contains_key(name);
        let specs = encoder_or_mae_params(&config, has);
        let store = ParamStore::holding(&device, specs, &weights.tensors)?;
        note(quiet, || {
            let (file, adapter) = (weights.file.display(), device.summary().name);
            let pool = choice(pool);
            format!("{file} on {adapter}, pooled by {pool}, pixels normalised with {whose}")
        });
        let batch_size = self.batch_size as usize;
        Ok(OpenEncoder { device, config, store, normalization, pool, batch_size, taken })
    }
}

impl OpenEncoder {
    /// The encoder.
    pub(crate) fn encoder(&self) -> Encoder<'_> {
        let Self { device, config, store, normalization, .. } = self;
        Encoder { device, config, store, normalization }
    }

    /// How its pictures are read, those of `files`.
    pub(crate) fn source_options(&self, files: &FilesArgs) -> SourceOptions {
        files.source_options(&self.config)
    }
}
