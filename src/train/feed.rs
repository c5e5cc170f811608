//! What a run is fed with: batches of pictures, or of a frozen encoder's features.

use std::sync::Arc;

use super::features::Features;
use crate::data::augment::mix::soft_targets;
use crate::data::{
    Batch, Cursor, ImageSource, LabelOptions, Loader, LoaderOptions, Sequence, Skipped,
};
use crate::error::Result;

/// The batches of a run, in order, from any place on.
pub enum Feed {
    /// Pictures, prepared ahead of time.
    Pictures(Loader),
    /// Features that were extracted before.
    Features(FeatureFeed),
}

/// Batches of features; `images` of a [`Batch`] are features here.
pub struct FeatureFeed {
    features: Features,
    labels: Vec<u32>,
    options: LabelOptions,
    sequence: Sequence,
    order: Vec<u32>,
    cursor: Cursor,
}

impl FeatureFeed {
    /// Batches of `features` of pictures of `source`, in the order of `options`, from `cursor` on.
    ///
    /// # Panics
    /// If a picture has no label.
    pub fn new(
        features: Features,
        source: &Arc<dyn ImageSource>,
        labels: LabelOptions,
        options: &LoaderOptions,
        cursor: Cursor,
    ) -> Self {
        let &LoaderOptions { batch_size, seed, shuffle, drop_last, .. } = options;
        let len = features.indices.len();
        let sequence = Sequence { len, batch_size, seed, shuffle, drop_last };
        Self {
            labels: features.labels(source.as_ref()),
            features,
            options: labels,
            sequence,
            order: sequence.order(cursor.epoch),
            cursor,
        }
    }

    fn next_batch(&mut self) -> Batch {
        let cursor = self.cursor;
        let draw_ids = self.sequence.draws(cursor, &self.order).to_vec();
        let sample_ids: Vec<u32> =
            draw_ids.iter().map(|draw| draw % self.sequence.len as u32).collect();
        let images = sample_ids.iter().flat_map(|&id| self.features.row(id as usize)).copied();
        let labels: Vec<u32> = sample_ids.iter().map(|&id| self.labels[id as usize]).collect();
        let batch = Batch {
            images: images.collect(),
            targets: soft_targets(&labels, self.options.classes, self.options.smoothing),
            labels: Some(labels),
            tokens: Vec::new(),
            sample_ids,
            draw_ids,
            epoch: cursor.epoch,
        };
        self.cursor = self.sequence.after(cursor);
        if self.cursor.epoch != cursor.epoch {
            self.order = self.sequence.order(self.cursor.epoch);
        }
        batch
    }
}

impl Feed {
    /// The next batch; waits until it is ready.
    ///
    /// # Errors
    /// As [`Loader::next_batch`].
    pub fn next_batch(&mut self) -> Result<Batch> {
        match self {
            Self::Pictures(loader) => loader.next_batch(),
            Self::Features(feed) => Ok(feed.next_batch()),
        }
    }

    /// The place of the next batch.
    pub fn cursor(&self) -> Cursor {
        match self {
            Self::Pictures(loader) => loader.cursor(),
            Self::Features(feed) => feed.cursor,
        }
    }

    /// Batches of one epoch.
    pub fn batches_per_epoch(&self) -> usize {
        match self {
            Self::Pictures(loader) => loader.batches_per_epoch(),
            Self::Features(feed) => feed.sequence.batches_per_epoch(),
        }
    }

    /// Takes a used batch's images back, so that their memory serves again.
    pub fn recycle(&self, images: Vec<f32>) {
        if let Self::Pictures(loader) = self {
            loader.recycle(images);
        }
    }

    /// Pictures that could not be read, if there are more than at the last call.
    pub fn newly_skipped(&mut self) -> Vec<Skipped> {
        match self {
            Self::Pictures(loader) => match loader.newly_skipped() {
                0 => Vec::new(),
                _ => loader.skipped(),
            },
            Self::Features(_) => Vec::new(),
        }
    }
}
