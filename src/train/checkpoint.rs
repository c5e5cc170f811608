//! Checkpoints: one safetensors file with parameters, moments and everything else that a run needs
//! to go on bit for bit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::config::ModelConfig;
use crate::data::{Cursor, Normalization};
use crate::error::{Error, Result};
use crate::ops::optim::State;
use crate::tensor::TensorMap;
use crate::weights::safetensors::{self, Precision};

/// Key in the file's metadata under which [`Meta`] is kept.
pub const META: &str = "webmae.checkpoint";
/// Prefixes of the tensors' names by role.
const ROLES: [&str; 3] = ["param/", "moment1/", "moment2/"];

/// What a checkpoint says besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The model.
    pub model: ModelConfig,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Optimiser steps done.
    pub step: u64,
    /// The batch that comes next.
    pub cursor: Cursor,
    /// Words of the optimiser's [`State`].
    pub optimizer_state: [u32; 8],
    /// Seconds of training so far.
    pub seconds: f64,
    /// The run's recipe, seeds included.
    pub recipe: Recipe,
}

impl Meta {
    /// The optimiser's state.
    pub fn state(&self) -> State {
        bytemuck::cast(self.optimizer_state)
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Everything that is not a tensor.
    pub meta: Meta,
    /// Parameters by internal name.
    pub params: TensorMap,
    /// AdamW's first moments.
    pub moment1: TensorMap,
    /// AdamW's second moments.
    pub moment2: TensorMap,
}

impl Checkpoint {
    /// Writes it to `folder/step-<step>.safetensors`, atomically, then removes all but the newest
    /// `keep` ones. Returns the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be written; earlier checkpoints are untouched then.
    pub fn write(self, folder: &Path, keep: usize) -> Result<PathBuf> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join(format!("step-{:08}.safetensors", self.meta.step));
        let text = serde_json::to_string(&self.meta)
            .map_err(|e| Error::bad_file(&path, format!("its description: {e}")))?;
        let mut tensors = TensorMap::new();
        for (role, map) in ROLES.iter().zip([self.params, self.moment1, self.moment2]) {
            tensors.extend(map.into_iter().map(|(name, tensor)| (format!("{role}{name}"), tensor)));
        }
        let metadata = BTreeMap::from([(META.to_owned(), text)]);
        safetensors::write(&path, &tensors, &metadata, Precision::F32)?;
        for old in list(folder)?.into_iter().skip(keep.max(1)) {
            fs::remove_file(&old).map_err(Error::io(&old))?;
        }
        Ok(path)
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::BadFile`] if it is broken or no checkpoint.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let contents = safetensors::read(path)?;
    let text = contents.metadata.get(META).ok_or_else(|| {
        Error::bad_file(path, "holds weights, but is no checkpoint of a training run")
    })?;
    let meta: Meta = serde_json::from_str(text)
        .map_err(|e| Error::bad_file(path, format!("its description cannot be read: {e}")))?;
    let mut maps = [TensorMap::new(), TensorMap::new(), TensorMap::new()];
    for (name, tensor) in contents.tensors {
        let role = ROLES.iter().position(|role| name.starts_with(role));
        let role = role.ok_or_else(|| Error::bad_file(path, format!("has a tensor {name}")))?;
        maps[role].insert(name[ROLES[role].len()..].to_owned(), tensor);
    }
    let [params, moment1, moment2] = maps;
    Ok(Checkpoint { meta, params, moment1, moment2 })
}

/// The newest readable checkpoint of a run folder, with the files that were newer but broken.
///
/// # Errors
/// [`Error::BadFile`] if there is none.
pub fn latest(run: &Path) -> Result<(PathBuf, Checkpoint, Vec<Error>)> {
    let folder = checkpoints(run);
    let mut broken = Vec::new();
    for path in list(&folder)? {
        match read(&path) {
            Ok(checkpoint) => return Ok((path, checkpoint, broken)),
            Err(error) => broken.push(error),
        }
    }
    let reasons: Vec<String> = broken.iter().map(ToString::to_string).collect();
    let problem = if reasons.is_empty() {
        "holds no checkpoint (step-*.safetensors)".to_owned()
    } else {
        format!("holds no readable checkpoint: {}", reasons.join("; "))
    };
    Err(Error::bad_file(folder, problem))
}

/// Folder of a run's checkpoints.
pub fn checkpoints(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// Checkpoints in a folder, newest first; none if it does not exist.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix("step-").and_then(|n| n.strip_suffix(".safetensors"));
        if let Some(step) = number.and_then(|n| n.parse::<u64>().ok()) {
            found.push((step, path));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
