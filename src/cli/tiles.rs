//! How matrix products are divided on each GPU, kept in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on;

use crate::cli::counter::Counter;
use crate::cli::wording::message;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::gpu::{AdapterSummary, Gpu};
use crate::kernels::{AttentionShape, ProductShape, Products, ProgramShapes};
use crate::tune::{Effort, Tuning, adapter_key, key, unknown};

/// Gives a GPU what was chosen for it before, and has programs measure what is not known yet: training the products
/// of its own, anything else only where nothing is known of the GPU.
pub(super) fn apply(gpu: &Gpu) {
    if gpu.adapter().is_software() {
        return;
    }
    if let Some(path) = file() {
        gpu.set_products(read(&path).remove(&key(gpu)).unwrap_or_default());
    }
    gpu.on_products(|gpu, shapes, trains| {
        let known = gpu.products();
        let unknown = unknown(shapes, &known);
        let has_kin = |shape: &ProductShape| known.suitable(shape).next().is_some();
        let is_like = |shape: &AttentionShape| known.suitable_attention(shape).is_some();
        let all_have_kin =
            || unknown.products.iter().all(has_kin) && unknown.attentions.iter().all(is_like);
        if unknown.is_empty() || !trains && all_have_kin() {
            return Ok(());
        }
        complain!(
            "choosing how {} divides matrix products and attention (once)",
            gpu.adapter().name
        );
        let tuning = measure(gpu, &unknown, Effort::default())?;
        // Without the file the next command measures again: no reason to stop this one.
        if let Err(error) = remember(gpu, &tuning) {
            complain!("note: the choice could not be kept: {}", message(&error));
        }
        Ok(())
    });
}

/// Says how far the measuring of products is.
#[derive(Default)]
pub(super) struct ProductCounter(Option<Counter>);

impl ProductCounter {
    /// So many are done of `all`.
    pub fn show(&mut self, done: usize, all: usize) {
        let counter = self.0.get_or_insert_with(|| Counter::new(all, "products measured"));
        counter.show(done);
        if done == all {
            counter.finish();
        }
    }
}

/// Measures products and attention, and says how far it is.
///
/// # Errors
/// [`Error::Device`] if the device failed.
pub(super) fn measure(gpu: &Gpu, shapes: &ProgramShapes, effort: Effort) -> Result<Tuning> {
    let mut counter = ProductCounter::default();
    let mut turn = async |done, all| counter.show(done, all);
    let tuning = block_on(Tuning::measure(gpu, shapes, effort, &mut turn))?;
    let mut products = gpu.products();
    tuning.add_to(&mut products);
    gpu.set_products(products);
    Ok(tuning)
}

/// Keeps what was chosen for a GPU.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(super) fn remember(gpu: &Gpu, tuning: &Tuning) -> Result<()> {
    file().map_or(Ok(()), |path| keep(&path, &key(gpu), tuning))
}

/// What was chosen for an adapter, with whatever options and kernels.
pub(super) fn known(adapter: &AdapterSummary) -> Vec<Products> {
    let begin = adapter_key(adapter);
    let all = file().map(|path| read(&path)).unwrap_or_default();
    all.into_iter().filter(|(key, _)| key.starts_with(&begin)).map(|(_, known)| known).collect()
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

fn keep(path: &Path, key: &str, tuning: &Tuning) -> Result<()> {
    let mut all = read(path);
    tuning.add_to(all.entry(key.to_owned()).or_default());
    let folder = path.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    atomic_write(path, |file| Ok(serde_json::to_writer_pretty(file, &all)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernels::{Division, Precision, ProductLayout};
    use crate::tune::ShapeTuning;

    fn shape(rows: usize) -> ProductShape {
        ProductShape::new(Precision::F32, ProductLayout::Nt, [rows, 64, 64])
    }

    fn tuning(rows: usize, tiling: usize) -> Tuning {
        let chosen = Division { tiling, parts: 1 };
        let shape = shape(rows);
        let shapes = vec![ShapeTuning { shape, timed: shape.sizes, measured: Vec::new(), chosen }];
        Tuning { shapes, refused: BTreeSet::from([5]), ..Default::default() }
    }

    #[test]
    fn choices_are_kept_by_device_and_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/tiles.json");
        assert!(read(&path).is_empty());
        for (device, rows, tiling) in [("a", 64, 1), ("b", 64, 4), ("a", 64, 3), ("a", 128, 2)] {
            keep(&path, device, &tuning(rows, tiling)).unwrap();
        }
        let all = read(&path);
        let chosen = |device: &str, rows| all[device].chosen(&shape(rows)).map(|d| d.tiling);
        assert_eq!([chosen("a", 64), chosen("a", 128)], [Some(3), Some(2)]);
        assert_eq!([chosen("b", 64), chosen("b", 128)], [Some(4), None]);
        assert_eq!(all["a"].refused().collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_file_of_another_form_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiles.json");
        for text in ["", "{", "[]", r#"{"a":[9,9,9,9,9,9,9,9,9,9,9,9]}"#, r#"{"a":{"chosen":1}}"#] {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).is_empty(), "{text}");
        }
        keep(&path, "a", &tuning(64, 0)).unwrap();
        assert_eq!(read(&path).len(), 1);
    }
}
