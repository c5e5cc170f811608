//! Where held-out data lies beside training data.

use std::path::{Path, PathBuf};

use super::cifar::Cifar;

/// Names of folders with held-out data, beside `train`, in order of preference.
const HELD_OUT_FOLDERS: [&str; 4] = ["val", "valid", "validation", "test"];

/// `folder/train`, if held-out data lies beside it.
pub(super) fn train_folder(folder: &Path) -> Option<PathBuf> {
    let train = folder.join("train");
    (train.is_dir() && held_out_in(folder).is_some()).then_some(train)
}

fn held_out_in(folder: &Path) -> Option<PathBuf> {
    HELD_OUT_FOLDERS.iter().map(|name| folder.join(name)).find(|path| path.is_dir())
}

/// The held-out data that belongs to `data` by its layout.
pub(super) fn held_out_path(data: &Path) -> Option<PathBuf> {
    if train_folder(data).is_some() {
        return held_out_in(data);
    }
    if data.file_name().is_some_and(|name| name == "train") {
        return data.parent().and_then(held_out_in);
    }
    let has_training_batches = Cifar::files_in(data)
        .is_ok_and(|files| files.iter().any(|file| !file.ends_with("test_batch.bin")));
    has_training_batches.then(|| Cifar::test_file(data)).flatten()
}
