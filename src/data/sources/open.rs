//! A look at a path that picks the source of pictures.

use std::path::Path;
use std::sync::Arc;

use super::cifar::Cifar;
use super::folder::Folder;
use super::held_out::train_folder;
use super::options::SourceOptions;
use super::source::ImageSource;
use super::synthetic::Synthetic;
use crate::data::decode::{EXTENSIONS, FILE_CHANNELS, files_have_channels, has_picture_extension};
use crate::error::{Error, Result};
use crate::setting::Setting;

/// Opens `spec`, whatever it is:
///
/// - `synthetic` or `synthetic:COUNT`: drawn pictures, see [`Synthetic`];
/// - a folder with `data_batch_*.bin` (or else `test_batch.bin`), or one `.bin` file: CIFAR-10;
/// - a folder of pictures, or a tree with a subfolder for each class, see [`Folder::open`];
/// - a folder with a `train` subfolder (`Training`, `train2017`, `images_train` …) beside a `val`, `test` or such: that;
/// - one picture file.
///
/// # Errors
/// Says what was looked for and what was found instead.
pub fn open(spec: &str, options: &SourceOptions) -> Result<Arc<dyn ImageSource>> {
    if let Some(count) = synthetic_count(spec, options)? {
        let (size, channels) = (options.image_size, options.channels);
        return Ok(Arc::new(Synthetic::new(count, size, channels, options.seed)?));
    }
    open_path(Path::new(spec), options)
}

/// How many pictures `spec` asks for, if it is `synthetic[:COUNT]` and not an existing path.
fn synthetic_count(spec: &str, options: &SourceOptions) -> Result<Option<usize>> {
    if spec == "synthetic" {
        return Ok(Some(options.synthetic_len));
    }
    let Some(count) = spec.strip_prefix("synthetic:") else { return Ok(None) };
    match count.parse() {
        Ok(count) => Ok(Some(count)),
        Err(_) => {
            let problem = format!("`{spec}`: expected a number after `synthetic:`, got `{count}`");
            Err(Error::config(Setting::Data, problem))
        }
    }
}

/// Opens a file or folder, see [`open`].
pub(super) fn open_path(path: &Path, options: &SourceOptions) -> Result<Arc<dyn ImageSource>> {
    if !FILE_CHANNELS.contains(&options.channels) {
        let problem = files_have_channels(options.channels);
        return Err(Error::config(Setting::Channels, problem));
    }
    let kind = std::fs::metadata(path).map_err(|source| not_there(path, source))?;
    if kind.is_file() {
        let is_bin = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("bin"));
        return match is_bin {
            true => Ok(Arc::new(Cifar::open(&[path.to_path_buf()], options.channels)?)),
            false if has_picture_extension(path) => Ok(Arc::new(Folder::single(path, options))),
            false => Err(Error::bad_file(
                path,
                format!("cannot be used as data; give {}", what_is_read()),
            )),
        };
    }
    if let Some(train) = train_folder(path) {
        return open_path(&train, options);
    }
    let batches = Cifar::files_in(path)?;
    if !batches.is_empty() {
        return Ok(Arc::new(Cifar::open(&batches, options.channels)?));
    }
    Ok(Arc::new(Folder::open(path, options)?))
}

fn not_there(path: &Path, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        return Error::bad_file(path, format!("does not exist; give {}", what_is_read()));
    }
    Error::Io { path: path.to_path_buf(), source }
}

/// What the data may be, for messages.
fn what_is_read() -> String {
    format!(
        "a folder of pictures ({}), a tree of class folders, CIFAR-10 binary batches \
         (.bin), one such file, or `synthetic`, which needs no files",
        EXTENSIONS.join(", ")
    )
}
