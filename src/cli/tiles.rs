//! The tiles that suit each GPU, kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on;

use crate::cli::wording::message;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::gpu::Gpu;
use crate::kernels::Products;
use crate::tune::{Tuning, key};

/// Gives a GPU the tiles that suit it: those that were measured before, or measured now.
///
/// # Errors
/// [`Error::Device`] if the device failed.
pub(super) fn apply(gpu: &Gpu) -> Result<()> {
    if gpu.adapter().is_software() {
        return Ok(());
    }
    let (path, key) = (file(), key(gpu));
    let known = path.as_deref().and_then(|path| read(path).remove(&key));
    let products = match known {
        Some(products) => products,
        None => {
            complain!("choosing tiles for {} (once)", gpu.adapter().name);
            let products = block_on(Tuning::measure(gpu))?.products();
            if let Some(path) = path {
                // Without the file the next command measures again: no reason to stop this one.
                if let Err(error) = keep(&path, &key, products) {
                    complain!("note: the choice could not be kept: {}", message(&error));
                }
            }
            products
        }
    };
    gpu.set_products(products);
    Ok(())
}

/// Keeps what was chosen for a GPU.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(super) fn remember(gpu: &Gpu, products: Products) -> Result<()> {
    file().map_or(Ok(()), |path| keep(&path, &key(gpu), products))
}

/// Where choices are kept, if the system has a place for such files.
fn file() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("webmae").join("tiles.json"))
}

/// The choices by device; none if there is no file, or one of another form.
fn read(path: &Path) -> BTreeMap<String, Products> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn keep(path: &Path, key: &str, products: Products) -> Result<()> {
    let mut all = read(path);
    all.insert(key.to_owned(), products);
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    atomic_write(path, |file| Ok(serde_json::to_writer_pretty(file, &all)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_kept_by_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/tiles.json");
        assert!(read(&path).is_empty());
        keep(&path, "a", Products::uniform(1)).unwrap();
        keep(&path, "b", Products::uniform(5)).unwrap();
        keep(&path, "a", Products::uniform(3)).unwrap();
        let all = read(&path);
        assert_eq!(all["a"], Products::uniform(3));
        assert_eq!(all["b"], Products::uniform(5));
    }

    #[test]
    fn a_file_of_another_form_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles.json");
        for text in ["", "{", "[]", r#"{"a":[9,9,9,9,9,9,9,9,9,9,9,9]}"#, r#"{"a":[0,0,0,0,0,0]}"#]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).is_empty(), "{text}");
        }
        keep(&path, "a", Products::default()).unwrap();
        assert_eq!(read(&path).len(), 1);
    }
}
