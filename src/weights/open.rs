//! One way in for every kind of weights file.

use std::path::Path;

use super::header::{Metadata, identify};
use super::hugging_face;
use super::infer::Overrides;
use super::names::{Converted, Format, Missing, to_internal};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::files::pth;
use crate::files::safetensors::{self, Contents};
use crate::tensor::shapes;

/// A weights file, read and translated.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedWeights {
    /// Whose names the file has.
    pub format: Format,
    /// The model: as stored beside or in the file, else inferred from its tensors.
    pub config: ModelConfig,
    /// Internal tensors.
    pub weights: Converted,
    /// Text entries of the file's header.
    pub metadata: Metadata,
}

/// Opens a `.safetensors` file, a `.pth` / `.pt` / `.bin` checkpoint of PyTorch, or a Hugging Face
/// folder. The configuration comes from the file's own header, from a `config.json` in the folder
/// (Hugging Face formats), or from the tensors and `overrides`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when it is broken, of an unknown code
/// base, or its sizes cannot be known.
pub fn open(path: impl AsRef<Path>, overrides: &Overrides) -> Result<OpenedWeights> {
    let path = path.as_ref();
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let file = if path.is_dir() { path.join(hugging_face::WEIGHTS) } else { path.to_owned() };
    let Contents { tensors, metadata } = read(&file)?;
    let shapes = shapes(&tensors);
    let beside = || -> Result<Option<ModelConfig>> {
        let folder = folder.filter(|folder| folder.join(hugging_face::CONFIG).is_file());
        folder.map(hugging_face::read_config).transpose()
    };
    let open = || {
        let (format, config) = identify(&shapes, &metadata, beside, overrides)?;
        let weights = to_internal(format, &config, &tensors, Missing::Refused)?;
        Ok(OpenedWeights { format, config, weights, metadata: metadata.clone() })
    };
    open().map_err(|e: Error| e.in_file(&file))
}

fn read(path: &Path) -> Result<Contents> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => safetensors::read(path),
        Some("pth" | "pt" | "bin") => {
            Ok(Contents { tensors: pth::read(path)?, ..Contents::default() })
        }
        _ => Err(Error::bad_file(
            path,
            "weights end in .safetensors, .pth, .pt or .bin, or are a Hugging Face folder",
        )),
    }
}
