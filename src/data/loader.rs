//! Batches ahead of time: decoded, augmented and normalised on all cores, in a fixed order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::batch::{Batch, BatchMaker, Cursor, LoaderOptions, Sequence, Skipped};
use super::normalize::Normalization;
use super::sources::source::ImageSource;
use crate::error::{Error, Result};
use crate::setting::Setting;

/// Makes batches in the background and hands them out in order, epoch after epoch without end.
///
/// The batches depend on the data, the options' seed and the cursor only: not on the number of
/// threads, nor on where the run was interrupted. Dropping the loader stops its threads after the
/// pictures they are at.
pub struct Loader {
    maker: Arc<BatchMaker>,
    sequence: Sequence,
    pool: ThreadPool,
    order: Arc<Vec<u32>>,
    order_epoch: u32,
    /// Batches being made, the next one first.
    ahead: VecDeque<(Cursor, Receiver<Result<Batch>>)>,
    /// The batch to start next.
    upcoming: Cursor,
    waited: Duration,
    reported: usize,
}

impl Loader {
    /// A loader over `source` that starts with the batch at `start`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Argument`] if an option, the normalisation or the cursor does not fit the data.
    pub fn new(
        source: Arc<dyn ImageSource>,
        normalization: Normalization,
        options: LoaderOptions,
        start: Cursor,
    ) -> Result<Self> {
        let maker = BatchMaker::new(source, normalization, options)?;
        let options = maker.options();
        let workers = ThreadPoolBuilder::new()
            .num_threads(options.threads)
            .thread_name(|number| format!("data-{number}"))
            // The batch's channel closes, which the consumer reports.
            .panic_handler(|_| {})
            .build();
        let pool = workers.map_err(|problem| {
            Error::config(
                Setting::Threads,
                format!("{} cannot be started: {problem}", options.threads),
            )
        })?;
        let sequence = maker.sequence();
        let batches = sequence.batches_per_epoch();
        if start.batch as usize >= batches {
            let problem = format!(
                "batch {} of an epoch of {batches} batches: the data or the batch size changed \
                 since the cursor was saved",
                start.batch
            );
            return Err(Error::argument("data cursor", problem));
        }
        let order = Arc::new(sequence.order(start.epoch));
        let mut loader = Self {
            maker: Arc::new(maker),
            sequence,
            pool,
            order,
            order_epoch: start.epoch,
            ahead: VecDeque::new(),
            upcoming: start,
            waited: Duration::ZERO,
            reported: 0,
        };
        loader.top_up();
        Ok(loader)
    }

    /// The next batch; waits until it is ready.
    ///
    /// # Errors
    /// The picture's error with `strict`; otherwise only if no picture can be read at all.
    pub fn next_batch(&mut self) -> Result<Batch> {
        self.top_up();
        let since = Instant::now();
        let received = match self.ahead.pop_front() {
            Some((_, ready)) => ready.recv().ok(),
            None => None,
        };
        self.waited += since.elapsed();
        self.top_up();
        received.unwrap_or_else(|| Err(Error::config(Setting::Data, "a loader thread failed")))
    }

    /// The place of the batch that [`Loader::next_batch`] gives next: save it with a checkpoint.
    pub fn cursor(&self) -> Cursor {
        self.ahead.front().map_or(self.upcoming, |(cursor, _)| *cursor)
    }

    /// Batches of one epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.sequence.batches_per_epoch()
    }

    /// Time spent waiting for batches since the start: what training lost to its data.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Every picture that could not be read so far, by index.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.maker.skipped()
    }

    /// How many pictures could not be read since the last call (all are in
    /// [`Loader::skipped`]); cheap enough for every step.
    pub fn newly_skipped(&mut self) -> usize {
        let all = self.maker.skipped_count();
        all - std::mem::replace(&mut self.reported, all)
    }

    /// Takes a used batch's images back, so that their memory serves again.
    pub fn recycle(&self, images: Vec<f32>) {
        self.maker.recycle(images);
    }

    /// Starts batches until `prefetch` of them are under way.
    fn top_up(&mut self) {
        while self.ahead.len() < self.maker.options().prefetch.max(1) {
            let cursor = self.upcoming;
            if self.order_epoch != cursor.epoch {
                self.order = Arc::new(self.sequence.order(cursor.epoch));
                self.order_epoch = cursor.epoch;
            }
            let (maker, order) = (self.maker.clone(), self.order.clone());
            let (done, ready) = sync_channel(1);
            self.pool.spawn(move || {
                // Nobody listens any more when the loader is being dropped.
                let _ = done.send(maker.batch_at(cursor, &order));
            });
            self.ahead.push_back((cursor, ready));
            self.upcoming = self.sequence.after(cursor);
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.maker.stop();
        // Each worker ends with its present picture; after this no file is being read.
        for (_, ready) in self.ahead.drain(..) {
            let _ = ready.recv();
        }
    }
}
