//! The pictures of a training run in the tab, and its batches one after the other.

use std::sync::Arc;

use crate::data::{
    Batch, BatchMaker, Cursor, ImageSource, LoaderOptions, Memory, Normalization, Pixels,
};
use crate::error::Result;
use crate::train::recipe::Recipe;

/// Pictures that may be added to and replaced, and the place in the sequence of batches.
pub(super) struct Feed {
    pictures: Memory,
    /// Made from the pictures when they are first needed, and again after they change.
    batches: Option<Batches>,
    cursor: Cursor,
}

struct Batches {
    maker: BatchMaker,
    /// The order of one epoch.
    order: (u32, Vec<u32>),
}

impl Feed {
    /// No pictures yet; the first batch will be the one at `cursor`.
    pub fn new(channels: usize, cursor: Cursor) -> Self {
        Self { pictures: Memory::new(channels), batches: None, cursor }
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Adds a picture.
    pub fn push(&mut self, picture: Pixels) {
        self.pictures.push(picture);
        self.batches = None;
    }

    /// Forgets all pictures.
    pub fn clear(&mut self) {
        self.pictures = Memory::new(self.pictures.channels());
        self.batches = None;
    }

    /// The batch that comes next.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Passes over the pictures so far.
    pub fn epochs(&self) -> f64 {
        f64::from(self.cursor.epoch)
            + f64::from(self.cursor.batch) / self.batches_per_epoch() as f64
    }

    /// Batches of one epoch; 1 as long as none was made.
    pub fn batches_per_epoch(&self) -> usize {
        self.batches.as_ref().map_or(1, |batches| batches.maker.sequence().batches_per_epoch())
    }

    /// The next batch, the same as the command line's for these pictures and this recipe.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a number of the recipe cannot be used.
    pub fn next(&mut self, recipe: &Recipe, normalization: &Normalization) -> Result<Batch> {
        self.prepare(recipe, normalization)?;
        let Batches { maker, order } = self.batches.as_mut().expect("prepared");
        if order.0 != self.cursor.epoch {
            *order = (self.cursor.epoch, maker.sequence().order(self.cursor.epoch));
        }
        let batch = maker.batch_at(self.cursor, &order.1)?;
        self.cursor = maker.sequence().after(self.cursor);
        Ok(batch)
    }

    /// Takes a used batch back, so that its memory serves again.
    pub fn recycle(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            batches.maker.recycle(batch.images);
        }
    }

    /// Makes ready for [`Self::next`]; [`Self::batches_per_epoch`] is right from then on.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a number of the recipe cannot be used.
    pub fn prepare(&mut self, recipe: &Recipe, normalization: &Normalization) -> Result<()> {
        if self.batches.is_some() {
            return Ok(());
        }
        let options = LoaderOptions {
            augment: recipe.data.augment,
            prefetch: 1,
            ..LoaderOptions::train(recipe.batch_size, recipe.model.image_size, recipe.seed)
        };
        let source: Arc<dyn ImageSource> = Arc::new(self.pictures.clone());
        let maker = BatchMaker::new(source, normalization.clone(), options)?;
        // The pictures may be others than those that the cursor counted.
        if self.cursor.batch as usize >= maker.sequence().batches_per_epoch() {
            self.cursor = Cursor { epoch: self.cursor.epoch.wrapping_add(1), batch: 0 };
        }
        let order = (self.cursor.epoch, maker.sequence().order(self.cursor.epoch));
        self.batches = Some(Batches { maker, order });
        Ok(())
    }
}
