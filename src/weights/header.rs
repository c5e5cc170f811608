//! What this crate writes into a file's header beside the tensors, and what a header tells of a model.

use std::collections::BTreeMap;

use super::infer::{Overrides, infer_config};
use super::names::{Format, detect};
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::model::classifier::HeadInfo;
use crate::tensor::{Shapes, by_name};

/// Text entries of a file's header.
pub type Metadata = BTreeMap<String, String>;

/// Entry that holds the [`ModelConfig`] as JSON.
const CONFIG_ENTRY: &str = "webmae.config";
/// Entry that holds the pixels' mean and standard deviation as JSON.
const NORMALIZATION_ENTRY: &str = "webmae.normalization";
/// Entry that holds a classifier's [`HeadInfo`] as JSON.
const HEAD_ENTRY: &str = "webmae.head";

/// The entries that describe a model, a classifier if it has a `head`, with which [`identify`] needs nothing
/// else.
///
/// # Errors
/// [`Error::BadWeights`] if the configuration has no JSON form (a number that is not finite).
pub fn describe(
    config: &ModelConfig,
    normalization: &Normalization,
    head: Option<&HeadInfo>,
) -> Result<Metadata> {
    let problem = |e| Error::BadWeights { problem: format!("the header's description: {e}") };
    let mut metadata = by_name([
        (CONFIG_ENTRY.to_owned(), serde_json::to_string(config).map_err(problem)?),
        (NORMALIZATION_ENTRY.to_owned(), serde_json::to_string(normalization).map_err(problem)?),
    ]);
    if let Some(head) = head {
        let text = serde_json::to_string(head).map_err(problem)?;
        metadata.insert(HEAD_ENTRY.to_owned(), text);
    }
    Ok(metadata)
}

/// Whose names a file has, and the model it holds: as stored in its header; else, for Hugging Face's
/// formats, as `hugging_face` says (the `config.json` beside it, if there is one); else read off the
/// shapes with `overrides`.
///
/// # Errors
/// [`Error::BadWeights`] if the code base is unknown, sizes stay unknown, or those that are stored do not fit together;
/// [`Error::Config`] if those that are read off do not; whatever `hugging_face` returns.
pub fn identify(
    shapes: &Shapes,
    metadata: &Metadata,
    hugging_face: impl FnOnce() -> Result<Option<ModelConfig>>,
    overrides: &Overrides,
) -> Result<(Format, ModelConfig)> {
    let format = detect(shapes);
    if let Some(config) = entry::<ModelConfig>(metadata, CONFIG_ENTRY)? {
        // This crate also describes what it writes under vit-pytorch's names.
        let foreign =
            |format: &Format| matches!(format, Format::VitPytorchOld | Format::VitPytorch);
        return Ok((format.ok().filter(foreign).unwrap_or(Format::Webmae), possible(config)?));
    }
    let format = format?;
    let stated = match format {
        Format::HuggingFaceMae | Format::HuggingFaceVit => hugging_face()?,
        _ => None,
    };
    let config = stated.map_or_else(|| infer_config(format, shapes, overrides), Ok)?;
    Ok((format, config))
}

/// A configuration that a file states, if there can be such a model.
///
/// # Errors
/// [`Error::BadWeights`] says why not: no option of the user's is at fault.
pub(super) fn possible(config: ModelConfig) -> Result<ModelConfig> {
    match config.validate() {
        Ok(()) => Ok(config),
        Err(why) => {
            Err(Error::BadWeights { problem: format!("there can be no model as it says: {why}") })
        }
    }
}

/// Mean and standard deviation of the pixels, if the header names them.
///
/// # Errors
/// [`Error::BadWeights`] if the entry cannot be read.
pub fn stored_normalization(metadata: &Metadata) -> Result<Option<Normalization>> {
    entry(metadata, NORMALIZATION_ENTRY)
}

/// What the header says of a classifier's head, if it has one.
///
/// # Errors
/// [`Error::BadWeights`] if the entry cannot be read.
pub fn stored_head(metadata: &Metadata) -> Result<Option<HeadInfo>> {
    entry(metadata, HEAD_ENTRY)
}

/// An entry that is JSON, if the header has it.
pub(super) fn entry<T: serde::de::DeserializeOwned>(
    metadata: &Metadata,
    name: &str,
) -> Result<Option<T>> {
    let Some(text) = metadata.get(name) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|e| Error::BadWeights {
        problem: format!("the header's {name} cannot be read: {e}"),
    })
}
