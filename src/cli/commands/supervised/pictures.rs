//! Pictures with labels, as the options name them.

use crate::cli::args::run::CommonArgs;
use crate::config::ModelConfig;
use crate::data::{SourceOptions, open_split};
use crate::error::{Error, Result};
use crate::setting::Setting;
use crate::train::labels::labelled;

/// Pictures with labels to learn from.
pub(super) struct Pictures<'a> {
    pub data: &'a str,
    pub class_names: Vec<String>,
    /// Number of them.
    pub count: usize,
}

impl<'a> Pictures<'a> {
    /// Those that the options name, as `model` takes them.
    pub(super) fn open(common: &'a CommonArgs, model: &ModelConfig) -> Result<Self> {
        let CommonArgs { run, data: pictures, files, rate, .. } = common;
        let data = run.data.as_deref().ok_or_else(|| {
            let problem = "is missing: class folders or CIFAR-10 batches, see --help";
            Error::config(Setting::Data, problem)
        })?;
        let options = SourceOptions {
            apply_exif: !pictures.ignore_exif,
            seed: rate.seed.unwrap_or_default(),
            ..files.source_options(model)
        };
        let split = open_split(data, pictures.held_out.as_deref(), &options)?;
        let train = labelled(split, Setting::Data)?.split.train;
        Ok(Self { data, class_names: train.class_names().to_vec(), count: train.len() })
    }
}
