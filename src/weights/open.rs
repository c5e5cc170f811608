//! One way in for every kind of weights file, and this crate's own way out.

use std::collections::BTreeMap;
use std::path::Path;

use super::hugging_face;
use super::infer::{Overrides, infer_config};
use super::names::{Converted, Format, Missing, detect, to_internal};
use super::safetensors::{self, Contents, Precision};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::tensor::TensorMap;

/// Entry of a file's metadata that holds the [`ModelConfig`] as JSON.
const CONFIG_ENTRY: &str = "webmae.config";
/// Entry of a file's metadata that holds the pixels' mean and standard deviation as JSON.
pub const NORMALIZATION_ENTRY: &str = "webmae.normalization";

/// A weights file, read and translated.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Whose names the file has.
    pub format: Format,
    /// The model: as stored beside or in the file, else inferred from its tensors.
    pub config: ModelConfig,
    /// Internal tensors.
    pub weights: Converted,
    /// Text entries of the file's header.
    pub metadata: BTreeMap<String, String>,
}

/// Opens a `.safetensors` file, a `.pth` / `.pt` / `.bin` checkpoint of PyTorch, or a Hugging Face
/// folder. The configuration comes from the file's own header, from a `config.json` in the folder
/// (Hugging Face formats), or from the tensors and `overrides`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when it is broken, of an unknown code
/// base, or its sizes cannot be known.
pub fn open(path: impl AsRef<Path>, overrides: &Overrides) -> Result<Opened> {
    let path = path.as_ref();
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let file = if path.is_dir() { path.join(hugging_face::WEIGHTS) } else { path.to_owned() };
    let Contents { tensors, metadata } = read(&file)?;
    let open = || {
        let format = match metadata.contains_key(CONFIG_ENTRY) {
            true => Format::Webmae,
            false => detect(&tensors)?,
        };
        let config = match (stored_config(&metadata)?, format) {
            (Some(config), _) => config,
            (None, Format::HuggingFaceMae | Format::HuggingFaceVit) => {
                folder.filter(|folder| folder.join(hugging_face::CONFIG).is_file()).map_or_else(
                    || infer_config(format, &tensors, overrides),
                    hugging_face::read_config,
                )?
            }
            (None, _) => infer_config(format, &tensors, overrides)?,
        };
        let weights = to_internal(format, &config, &tensors, Missing::Refused)?;
        Ok(Opened { format, config, weights, metadata: metadata.clone() })
    };
    open().map_err(|e: Error| e.in_file(&file))
}

/// Writes internal tensors with their configuration and further text entries, atomically; [`open`]
/// needs nothing else.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn save(
    path: impl AsRef<Path>,
    config: &ModelConfig,
    tensors: &TensorMap,
    mut metadata: BTreeMap<String, String>,
    precision: Precision,
) -> Result<()> {
    let text = serde_json::to_string(config)
        .map_err(|e| Error::BadWeights { problem: format!("configuration: {e}") })?;
    metadata.insert(CONFIG_ENTRY.to_owned(), text);
    safetensors::write(path, tensors, &metadata, precision)
}

fn read(path: &Path) -> Result<Contents> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => safetensors::read(path),
        Some("pth" | "pt" | "bin") => {
            Ok(Contents { tensors: super::pth::read(path)?, ..Contents::default() })
        }
        _ => Err(Error::bad_file(
            path,
            "weights end in .safetensors, .pth, .pt or .bin, or are a Hugging Face folder",
        )),
    }
}

fn stored_config(metadata: &BTreeMap<String, String>) -> Result<Option<ModelConfig>> {
    let Some(text) = metadata.get(CONFIG_ENTRY) else { return Ok(None) };
    let config: ModelConfig = serde_json::from_str(text).map_err(|e| Error::BadWeights {
        problem: format!("the header's {CONFIG_ENTRY} cannot be read: {e}"),
    })?;
    config.validate()?;
    Ok(Some(config))
}
