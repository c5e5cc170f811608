//! A run folder's checkpoints: the newest few, each written as a whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::run_files::is_begun;
use crate::error::{Error, Result};
use crate::files::atomic_write;

/// Writes `checkpoint` to `folder/step-<step>.safetensors`, atomically. Returns the file.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written.
pub fn write(checkpoint: Checkpoint, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(format!("step-{:08}.safetensors", checkpoint.meta.step));
    let bytes = checkpoint.to_bytes().map_err(|e| e.in_file(&path))?;
    atomic_write(&path, |file| file.write_all(&bytes))?;
    Ok(path)
}

/// Removes all but the newest `keep` checkpoints in `folder`, and never the last.
///
/// # Errors
/// [`Error::Io`] if one cannot be removed.
pub fn remove_old(folder: &Path, keep: usize) -> Result<()> {
    for old in list(folder)?.into_iter().skip(keep.max(1)) {
        fs::remove_file(&old).map_err(Error::io(&old))?;
    }
    Ok(())
}

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::BadFile`] if it is broken or no checkpoint.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    Checkpoint::from_bytes(&bytes).map_err(|e| e.in_file(path))
}

/// The newest readable checkpoint of a run folder, with the files that were newer but broken.
///
/// # Errors
/// [`Error::BadFile`] if there is none.
pub fn latest(run: &Path) -> Result<(PathBuf, Checkpoint, Vec<Error>)> {
    newest(run, read)
}

/// The newest checkpoint of a run folder that `read` can read, with the files that were newer but broken.
///
/// # Errors
/// [`Error::BadFile`] if there is none.
pub fn newest<T>(
    run: &Path,
    read: impl Fn(&Path) -> Result<T>,
) -> Result<(PathBuf, T, Vec<Error>)> {
    let folder = folder_of(run);
    let mut broken = Vec::new();
    for path in list(&folder)? {
        match read(&path) {
            Ok(found) => return Ok((path, found, broken)),
            Err(error) => broken.push(error),
        }
    }
    let reasons: Vec<String> = broken.iter().map(ToString::to_string).collect();
    if reasons.is_empty() && is_begun(run) {
        let problem = "this run ended before its first checkpoint, so there is nothing to go on from; delete the \
                       folder and begin anew";
        return Err(Error::bad_file(run, problem));
    }
    let problem = if reasons.is_empty() {
        "holds no checkpoint (step-*.safetensors)".to_owned()
    } else {
        format!("holds no readable checkpoint: {}", reasons.join("; "))
    };
    Err(Error::bad_file(folder, problem))
}

/// Folder of a run's checkpoints.
pub fn folder_of(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// Checkpoints in a folder, newest first; none if it does not exist.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
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
