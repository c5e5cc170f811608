//! A run's batches with their images in staging memory before their step begins.

use std::mem;
use std::time::{Duration, Instant};

use super::feed::Feed;
use crate::data::{Batch, Cursor, Skipped};
use crate::error::Result;
use crate::program::{Device, Staged, Staging, Uploads};

/// A batch whose images are on their way to the device.
pub struct StagedBatch {
    /// The batch without its images.
    pub batch: Batch,
    /// Its images.
    pub images: Staged,
    /// The place of the batch after it.
    next: Cursor,
    /// Pictures found unreadable since the batch before.
    skipped: Vec<Skipped>,
}

/// The batches of a [`Feed`], staged by a thread of their own.
pub struct StagedFeed {
    uploads: Uploads<StagedBatch>,
    cursor: Cursor,
    waited: Duration,
    skipped: Vec<Skipped>,
}

impl StagedFeed {
    /// Begins to stage the batches of `feed`, whose images take `image_bytes` bytes.
    ///
    /// # Errors
    /// As [`Uploads::start`].
    pub fn start(device: &Device, mut feed: Feed, image_bytes: u64) -> Result<Self> {
        let cursor = feed.cursor();
        let uploads =
            Uploads::start(device, image_bytes, move |staging| stage_next(&mut feed, staging))?;
        let (waited, skipped) = (Duration::ZERO, Vec::new());
        Ok(Self { uploads, cursor, waited, skipped })
    }

    /// The next batch; waits until it is staged.
    ///
    /// # Errors
    /// As [`Feed::next_batch`] and [`Staging::stage`].
    pub fn next_batch(&mut self) -> Result<StagedBatch> {
        let since = Instant::now();
        let taken = self.uploads.take();
        self.waited += since.elapsed();
        let mut staged = taken?;
        self.cursor = staged.next;
        self.skipped.append(&mut staged.skipped);
        Ok(staged)
    }

    /// The place of the batch that [`Self::next_batch`] gives next.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Pictures that could not be read and were not named before.
    pub fn newly_skipped(&mut self) -> Vec<Skipped> {
        mem::take(&mut self.skipped)
    }

    /// Time spent waiting for batches since the start.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

fn stage_next(feed: &mut Feed, staging: &mut Staging) -> Result<StagedBatch> {
    let mut batch = feed.next_batch()?;
    let images = staging.stage(bytemuck::cast_slice(&batch.images))?;
    feed.recycle(mem::take(&mut batch.images));
    Ok(StagedBatch { batch, images, next: feed.cursor(), skipped: feed.newly_skipped() })
}
