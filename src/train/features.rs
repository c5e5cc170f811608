//! The features of a data set: one for each picture, nothing hidden, nothing random.

use std::sync::Arc;

use pollster::block_on;

use crate::config::ModelConfig;
use crate::data::{Augment, Cursor, ImageSource, Loader, LoaderOptions, Normalization, Skipped};
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::model::features::Embedder;
use crate::model::store::ParamStore;
use crate::program::Device;

/// Features with the pictures that they belong to.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Values of one feature, D.
    pub dim: usize,
    /// `[N, D]`.
    pub values: Vec<f32>,
    /// Each picture's index in the data set.
    pub indices: Vec<usize>,
    /// Pictures that could not be read and have no feature.
    pub skipped: Vec<Skipped>,
}

impl Features {
    /// One feature.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// The classes of the features' pictures in `source`.
    ///
    /// # Panics
    /// If a picture has none.
    pub fn labels(&self, source: &dyn ImageSource) -> Vec<u32> {
        let label = |&index: &usize| source.label(index).expect("a labelled picture") as u32;
        self.indices.iter().map(label).collect()
    }

    /// The features one by one.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim)
    }
}

/// An encoder with the pictures' statistics.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// The device.
    pub device: &'a Device,
    /// Sizes.
    pub config: &'a ModelConfig,
    /// Parameters.
    pub store: &'a ParamStore,
    /// Mean and standard deviation of the pixels.
    pub normalization: &'a Normalization,
}

/// Features of every picture of `source`, in its order, made in batches of `batch_size`; `augment`, which
/// draws nothing at random, says which part of a picture is shown.
/// `progress` is told how many pictures are done.
///
/// # Errors
/// If no picture can be read; [`crate::Error::DoesNotFit`], [`crate::Error::OutOfMemory`] or
/// [`crate::Error::DeviceLost`].
pub fn extract(
    encoder: Encoder<'_>,
    pool: Pool,
    source: &Arc<dyn ImageSource>,
    batch_size: usize,
    augment: &Augment,
    progress: &mut dyn FnMut(usize),
) -> Result<Features> {
    let Encoder { device, config, store, normalization } = encoder;
    let batch_size = batch_size.min(source.len());
    let embedder = Embedder::new(device, config, batch_size, store, pool)?;
    let options =
        LoaderOptions { augment: *augment, ..LoaderOptions::eval(batch_size, config.image_size) };
    let mut loader =
        Loader::new(Arc::clone(source), normalization.clone(), options, Cursor::default())?;
    let mut features = Features { dim: config.encoder.dim, ..Features::default() };
    let mut done = 0;
    for _ in 0..loader.batches_per_epoch() {
        let mut batch = loader.next_batch()?;
        let count = batch.len();
        // The last batch may be short; the program's is not.
        batch.images.resize(batch_size * config.image_len(), 0.0);
        let values = block_on(embedder.run(&batch.images))?;
        let rows = values.chunks_exact(features.dim).take(count);
        for ((row, &shown), &drawn) in rows.zip(&batch.sample_ids).zip(&batch.draw_ids) {
            // An unreadable picture's place was taken by another one.
            if shown == drawn {
                features.values.extend_from_slice(row);
                features.indices.push(shown as usize);
            }
        }
        loader.recycle(batch.images);
        done += count;
        progress(done);
    }
    features.skipped = loader.skipped();
    Ok(features)
}
