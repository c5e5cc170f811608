//! One way in for every kind of weights file.

use std::path::{Path, PathBuf};

use super::finite::require_finite;
use super::header::Metadata;
use super::hugging_face;
use super::infer::Overrides;
use super::names::{Converted, Format};
use super::set::Sets;
use super::understand::{Understood, understand};
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::files::TensorFile;
use crate::tensor::by_name;

/// A weights file, read and translated.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedWeights {
    /// Whose names the file has; this crate's own for a checkpoint of a run.
    pub format: Format,
    /// The model: as stored beside or in the file, else inferred from its tensors.
    pub config: ModelConfig,
    /// Internal tensors.
    pub weights: Converted,
    /// Mean and standard deviation of the pixels, if the file names them.
    pub normalization: Option<Normalization>,
    /// Text entries of the file's header.
    pub metadata: Metadata,
    /// Steps done, if it is a checkpoint of a training run.
    pub step: Option<u64>,
    /// Which of the file's sets of weights these are.
    pub sets: Sets,
}

/// [`open_set`] of the usual set of weights.
///
/// # Errors
/// As [`open_set`].
pub fn open(path: impl AsRef<Path>, overrides: &Overrides) -> Result<OpenedWeights> {
    open_set(path, overrides, None)
}

/// Opens a `.safetensors` file, a `.pth` / `.pt` / `.ckpt` / `.bin` checkpoint of PyTorch, or a Hugging Face folder. The
/// configuration comes from the file's own header, from a `config.json` in the folder (Hugging Face formats), or from
/// the tensors and `overrides`. `key` names one of several sets of weights: in a checkpoint of
/// PyTorch a dictionary, and in any file what the names of a set begin with, without the dot. A run's checkpoint has the parameters,
/// `param`, and maybe their moving averages, `ema`, which are then the usual set; its moments are not read.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when it is broken, of an unknown code
/// base, holds a value that is not finite, or its sizes cannot be known.
pub fn open_set(
    path: impl AsRef<Path>,
    overrides: &Overrides,
    key: Option<&str>,
) -> Result<OpenedWeights> {
    let path = path.as_ref();
    let (file, folder) = match path.is_dir() {
        true => (hugging_face_weights(path), Some(path)),
        false => (path.to_owned(), path.parent()),
    };
    let mut source = TensorFile::open(&file, key)?;
    let (listing, metadata) = (source.listing()?, source.metadata());
    let beside = || -> Result<Option<ModelConfig>> {
        let folder = folder.filter(|folder| folder.join(hugging_face::CONFIG).is_file());
        folder.map(hugging_face::read_config).transpose()
    };
    let key = source.key_inside(key).map(str::to_owned);
    let open = || {
        let Understood { format, config, normalization, step, set, mapping } =
            understand(listing, &metadata, beside, overrides, key.as_deref())?;
        let needed = mapping.needs();
        let own = |name: &str| set.name(name).is_some_and(|name| needed.contains(name));
        let tensors = source.read(own)?;
        tensors.iter().try_for_each(|(name, tensor)| require_finite(name, &tensor.data))?;
        let own = |(name, tensor): (String, _)| Some((set.name(&name)?.to_owned(), tensor));
        let weights = mapping.convert(by_name(tensors.into_iter().filter_map(own)))?;
        let (outer, beside) = source.sets();
        let sets = set.sets(outer, beside);
        Ok(OpenedWeights { format, config, weights, normalization, metadata, step, sets })
    };
    open().map_err(|e: Error| e.in_file(&file))
}

/// A folder's weights: as `transformers` writes them now, or as it once did.
fn hugging_face_weights(folder: &Path) -> PathBuf {
    let [now, once] = hugging_face::WEIGHTS.map(|name| folder.join(name));
    if !now.is_file() && once.is_file() { once } else { now }
}
