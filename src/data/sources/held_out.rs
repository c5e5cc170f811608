//! Where held-out data lies beside training data.

use std::path::{Path, PathBuf};

use super::cifar::Cifar;
use super::names::{HELD_OUT, TRAIN};
use super::walk::name_of;

/// The folder of training data in `folder`, if held-out data lies beside it.
pub(super) fn train_folder(folder: &Path) -> Option<PathBuf> {
    held_out_in(folder).and_then(|_| named(folder, &TRAIN))
}

fn held_out_in(folder: &Path) -> Option<PathBuf> {
    named(folder, &HELD_OUT)
}

/// The folder in `folder` that has the first of `names` that one has, in any case.
fn named(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    let has = |name: &str| folders.iter().find(|path| name_of(path).to_lowercase() == name);
    names.iter().find_map(|name| has(name)).cloned()
}

/// The held-out data that belongs to `data` by its layout.
pub(super) fn held_out_path(data: &Path) -> Option<PathBuf> {
    if train_folder(data).is_some() {
        return held_out_in(data);
    }
    if TRAIN.contains(&name_of(data).to_lowercase().as_str()) {
        return data.parent().and_then(held_out_in);
    }
    let has_training_batches = Cifar::files_in(data)
        .is_ok_and(|files| files.iter().any(|file| !file.ends_with("test_batch.bin")));
    has_training_batches.then(|| Cifar::test_file(data)).flatten()
}
