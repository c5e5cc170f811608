//! Where held-out data lies beside training data.

use std::path::{Path, PathBuf};

use super::cifar::Cifar;
use super::names::{Part, part};
use super::walk::name_of;

/// The folder of training data in `folder`, if held-out data lies beside it.
pub(super) fn train_folder(folder: &Path) -> Option<PathBuf> {
    held_out_in(folder)?;
    first_part(folder, |part| part == Part::Train)
}

fn held_out_in(folder: &Path) -> Option<PathBuf> {
    first_part(folder, |part| part != Part::Train)
}

/// Of the folders in `folder` that are such a part of the data, the one to take.
fn first_part(folder: &Path, is_wanted: impl Fn(Part) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let parts = folders.filter_map(|path| Some((part(&name_of(&path))?, path)));
    parts.filter(|(part, _)| is_wanted(*part)).min().map(|(_, path)| path)
}

/// The held-out data that belongs to `data` by its layout.
pub(super) fn held_out_path(data: &Path) -> Option<PathBuf> {
    if train_folder(data).is_some() {
        return held_out_in(data);
    }
    if part(&name_of(data)) == Some(Part::Train) {
        return data.parent().and_then(held_out_in);
    }
    let has_training_batches = Cifar::files_in(data)
        .is_ok_and(|files| files.iter().any(|file| !file.ends_with("test_batch.bin")));
    has_training_batches.then(|| Cifar::test_file(data)).flatten()
}
