//! What a batch is: which pictures, in which order, cut and coloured how. Depends on the data, the
//! seed and the place in the sequence only, on every platform.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "native")]
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "labels")]
use super::augment::mix::{Mix, soft_targets};
use super::augment::transform::Augment;
use super::normalize::Normalization;
use super::pixels::{Decoded, Pixels, Sample};
use super::sources::source::ImageSource;
#[cfg(not(feature = "labels"))]
use crate::absent::Absent as LabelOptions;
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// First words of the generators' streams: one per purpose.
const SHUFFLE: u32 = 0x5EED_0002;
const AUGMENT: u32 = 0x5EED_0003;
#[cfg(feature = "labels")]
const MIX: u32 = 0x5EED_0005;

/// Values of one batch at most: 4 GiB.
const MAX_BATCH_VALUES: usize = 1 << 30;

/// Threads, and batches made ahead, at most.
const MAX_WORKERS: usize = 1024;

/// What the network is fed with in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised values, B·C·H·W.
    pub images: Vec<f32>,
    /// Index in the dataset of each picture shown.
    pub sample_ids: Vec<u32>,
    /// Number of each draw, unique within an epoch; equal to the place in the dataset unless
    /// pictures repeat within the epoch. Key masks by (seed, epoch, draw).
    pub draw_ids: Vec<u32>,
    /// Class of each picture, if all have one.
    pub labels: Option<Vec<u32>>,
    /// What a classifier is to say, B·classes, with [`LoaderOptions::labels`]; else empty.
    pub targets: Vec<f32>,
    /// The pictures' tokens, B·L, if all have some; else empty.
    pub tokens: Vec<u32>,
    /// Epoch the batch belongs to, from 0.
    pub epoch: u32,
}

impl Batch {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.sample_ids.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.sample_ids.is_empty()
    }
}

/// A place in the endless sequence of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Batch within the epoch, from 0.
    pub batch: u32,
}

/// A picture that could not be read and was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Index in the dataset.
    pub index: u32,
    /// Its name or path.
    pub name: String,
    /// Why.
    pub problem: String,
}

/// How labels become targets of training.
#[cfg(feature = "labels")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelOptions {
    /// Number of classes.
    pub classes: usize,
    /// Share of each target that is spread over all classes, in [0, 1).
    pub smoothing: f32,
    /// Images and targets mixed in pairs.
    pub mix: Mix,
}

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderOptions {
    /// Pictures per batch.
    pub batch_size: usize,
    /// `[height, width]` of a sample.
    pub image_size: [usize; 2],
    /// What is done to each picture.
    pub augment: Augment,
    /// Make targets of the labels, which every picture must have then.
    pub labels: Option<LabelOptions>,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// A new order each epoch; otherwise the dataset's.
    pub shuffle: bool,
    /// Leave out an epoch's last batch if it is short. With it, a dataset smaller than one batch
    /// fills the batch by repeating, each time with a fresh augmentation; without, such a dataset
    /// is one short batch.
    pub drop_last: bool,
    /// Fail on the first unreadable picture instead of showing the next readable one.
    pub strict: bool,
    /// Worker threads; 0 is one per core.
    pub threads: usize,
    /// Batches made ahead, at least 1. Memory is bounded by as many.
    pub prefetch: usize,
}

impl LoaderOptions {
    /// For training: shuffled, augmented as in the paper, full batches only.
    pub fn train(batch_size: usize, image_size: [usize; 2], seed: u64) -> Self {
        Self {
            batch_size,
            image_size,
            augment: Augment::pretrain(),
            labels: None,
            seed,
            shuffle: true,
            drop_last: true,
            strict: false,
            threads: 0,
            prefetch: 3,
        }
    }

    /// For evaluation: the dataset's order, centre crops, the last batch may be short.
    pub fn eval(batch_size: usize, image_size: [usize; 2]) -> Self {
        Self {
            augment: Augment::center(),
            shuffle: false,
            drop_last: false,
            ..Self::train(batch_size, image_size, 0)
        }
    }

    fn validate(&self, channels: usize) -> Result<()> {
        if self.image_size.iter().any(|side| !(1..=1 << 14).contains(side)) {
            let problem = format!("sides must be 1 to {}, got {:?}", 1 << 14, self.image_size);
            return Err(Error::config(Setting::ImageSize, problem));
        }
        let sample_len = channels * self.image_size[0] * self.image_size[1];
        let most = (MAX_BATCH_VALUES / sample_len.max(1)).max(1);
        if !(1..=most).contains(&self.batch_size) {
            let problem = format!(
                "must be 1 to {most} for {channels} × {} × {} values per picture, got {}",
                self.image_size[0], self.image_size[1], self.batch_size
            );
            return Err(Error::config(Setting::BatchSize, problem));
        }
        let too_many = |value| format!("must be at most {MAX_WORKERS}, got {value}");
        if self.threads > MAX_WORKERS {
            return Err(Error::config(Setting::Threads, too_many(self.threads)));
        }
        if self.prefetch > MAX_WORKERS {
            return Err(Error::argument("prefetch", too_many(self.prefetch)));
        }
        #[cfg(feature = "labels")]
        self.labels.map_or(Ok(()), |labels| labels.mix.validate())?;
        self.augment.validate()
    }
}

/// The pictures `indices` of `source` as one batch of epoch 0, in that order: centre crops of
/// `[height, width]`, made now on all cores. For held-out sets, whose indices [`fixed_indices`](super::fixed_indices)
/// draws. Unreadable pictures are replaced as in training, and named in the second result.
///
/// # Errors
/// [`Error::Argument`] if an index is out of range; [`Error::Config`] if there are none, the normalisation
/// does not fit, or no picture can be read at all.
pub fn fixed_batch(
    source: &Arc<dyn ImageSource>,
    normalization: &Normalization,
    image_size: [usize; 2],
    indices: &[u32],
) -> Result<(Batch, Vec<Skipped>)> {
    let len = source.len();
    if let Some(index) = indices.iter().find(|&&index| index as usize >= len) {
        let problem = format!("picture {index} of {len} does not exist");
        return Err(Error::argument("fixed batch", problem));
    }
    let options = LoaderOptions::eval(indices.len(), image_size);
    let maker = BatchMaker::new(source.clone(), normalization.clone(), options)?;
    let batch = maker.batch(indices, 0, &maker.options.augment)?;
    Ok((batch, maker.skipped()))
}

/// Which samples are shown when: depends on their number, the batch size and the seed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Number of samples.
    pub len: usize,
    /// Samples per batch.
    pub batch_size: usize,
    /// Seed of the order.
    pub seed: u64,
    /// See [`LoaderOptions::shuffle`].
    pub shuffle: bool,
    /// See [`LoaderOptions::drop_last`].
    pub drop_last: bool,
}

impl Sequence {
    /// Batches of one epoch.
    pub fn batches_per_epoch(&self) -> usize {
        let (len, batch) = (self.len, self.batch_size);
        if self.drop_last { (len / batch).max(1) } else { len.div_ceil(batch) }
    }

    /// The place after `cursor`.
    pub fn after(&self, cursor: Cursor) -> Cursor {
        match cursor.batch as usize + 1 >= self.batches_per_epoch() {
            true => Cursor { epoch: cursor.epoch.wrapping_add(1), batch: 0 },
            false => Cursor { epoch: cursor.epoch, batch: cursor.batch + 1 },
        }
    }

    /// The draws of an epoch: draw `d` shows sample `d mod len`, for the `d / len`-th time.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        let len = self.len;
        let repeats = if self.drop_last { self.batch_size.div_ceil(len) } else { 1 };
        let mut order = Vec::with_capacity(repeats * len);
        for repeat in 0..repeats {
            let first = (repeat * len) as u32;
            order.extend(first..first + len as u32);
            if self.shuffle {
                let mut rng = Rng::new(self.seed, [SHUFFLE, epoch, repeat as u32]);
                rng.shuffle(&mut order[repeat * len..]);
            }
        }
        order
    }

    /// The draws of the batch at `cursor`, of an epoch in that `order`.
    pub fn draws<'a>(&self, cursor: Cursor, order: &'a [u32]) -> &'a [u32] {
        let first = cursor.batch as usize * self.batch_size;
        &order[first..order.len().min(first + self.batch_size)]
    }
}

/// Makes the batches of a data set, any of them at any time.
pub struct BatchMaker {
    source: Arc<dyn ImageSource>,
    normalization: Normalization,
    options: LoaderOptions,
    /// Unreadable pictures and why.
    bad: Mutex<BTreeMap<u32, String>>,
    /// Memory of used batches.
    spare: Mutex<Vec<Vec<f32>>>,
    /// Set when nobody wants the samples being made.
    stop: AtomicBool,
}

impl BatchMaker {
    /// A maker of batches of `source`.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Argument`] if an option or the normalisation does not fit the data.
    pub fn new(
        source: Arc<dyn ImageSource>,
        normalization: Normalization,
        options: LoaderOptions,
    ) -> Result<Self> {
        options.validate(source.channels())?;
        normalization.validate(source.channels())?;
        if source.is_empty() || source.len() > u32::MAX as usize / 2 {
            let problem = format!("must hold 1 to 2³¹ pictures, got {}", source.len());
            return Err(Error::config(Setting::Data, problem));
        }
        Ok(Self {
            source,
            normalization,
            options,
            bad: Mutex::new(BTreeMap::new()),
            spare: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        })
    }

    /// How batches are made.
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// The sequence of batches.
    pub fn sequence(&self) -> Sequence {
        let LoaderOptions { batch_size, seed, shuffle, drop_last, .. } = self.options;
        Sequence { len: self.source.len(), batch_size, seed, shuffle, drop_last }
    }

    /// The batch at `cursor`, of an epoch in that `order`.
    ///
    /// # Errors
    /// The picture's error with `strict`; otherwise only if no picture can be read at all.
    pub fn batch_at(&self, cursor: Cursor, order: &[u32]) -> Result<Batch> {
        let draws = self.sequence().draws(cursor, order);
        #[cfg_attr(not(feature = "labels"), expect(unused_mut, reason = "nothing has labels"))]
        let mut batch = self.batch(draws, cursor.epoch, &self.options.augment)?;
        #[cfg(feature = "labels")]
        if let Some(labels) = &self.options.labels {
            self.set_targets(&mut batch, labels, cursor)?;
        }
        Ok(batch)
    }

    #[cfg(feature = "labels")]
    fn set_targets(&self, batch: &mut Batch, options: &LabelOptions, cursor: Cursor) -> Result<()> {
        let Some(labels) = &batch.labels else {
            let unlabelled = |&&id: &&u32| self.source.label(id as usize).is_none();
            let id = batch.sample_ids.iter().find(unlabelled).copied().unwrap_or_default();
            let problem = format!("{} has no class", self.source.name(id as usize));
            return Err(Error::config(Setting::Data, problem));
        };
        batch.targets = soft_targets(labels, options.classes, options.smoothing);
        let [height, width] = self.options.image_size;
        let shape = [self.source.channels(), height, width];
        let mut rng = Rng::new(self.options.seed, [MIX, cursor.epoch, cursor.batch]);
        options.mix.apply(&mut batch.images, shape, &mut batch.targets, &mut rng);
        Ok(())
    }

    fn batch(&self, draws: &[u32], epoch: u32, augment: &Augment) -> Result<Batch> {
        let [height, width] = self.options.image_size;
        let sample_len = self.source.channels() * height * width;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut images = spare.unwrap_or_default();
        images.resize(draws.len() * sample_len, 0.0);
        // All outcomes first: of several errors, the first in order is told.
        #[cfg(feature = "native")]
        let samples = images.par_chunks_exact_mut(sample_len);
        #[cfg(not(feature = "native"))]
        let samples = images.chunks_exact_mut(sample_len);
        let outcomes: Vec<Result<u32>> =
            samples.zip(draws).map(|(out, &draw)| self.sample(draw, epoch, augment, out)).collect();
        let sample_ids = outcomes.into_iter().collect::<Result<Vec<u32>>>()?;
        let label = |&id: &u32| self.source.label(id as usize).map(|label| label as u32);
        let labels = sample_ids.iter().map(label).collect();
        let tokens = sample_ids.iter().map(|&id| self.source.tokens(id as usize));
        let tokens = tokens.collect::<Option<Vec<_>>>().unwrap_or_default().concat();
        let draw_ids = draws.to_vec();
        Ok(Batch { images, labels, targets: Vec::new(), tokens, sample_ids, draw_ids, epoch })
    }

    /// Makes one sample into `out` and returns the index of the picture shown: the first readable
    /// one from the draw's on.
    fn sample(&self, draw: u32, epoch: u32, augment: &Augment, out: &mut [f32]) -> Result<u32> {
        let len = self.source.len() as u32;
        let mut first_problem = None;
        for step in 0..len {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::config(Setting::Data, "the loader is being closed"));
            }
            let index = (draw % len + step) % len;
            if let Some(problem) = self.known_bad(index) {
                first_problem.get_or_insert((index, problem));
                continue;
            }
            let mut rng = Rng::new(self.options.seed, [AUGMENT, epoch, draw]);
            match self.try_sample(index, augment, &mut rng, out) {
                Ok(()) => return Ok(index),
                Err(problem) if self.options.strict => return Err(problem),
                Err(problem) => {
                    let problem = problem.without_file();
                    let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
                    bad.insert(index, problem.clone());
                    first_problem.get_or_insert((index, problem));
                }
            }
        }
        let (index, problem) = first_problem.unwrap_or_default();
        let name = self.source.name(index as usize);
        let problem = format!("none of {len} pictures can be read; the first, {name}: {problem}");
        Err(Error::config(Setting::Data, problem))
    }

    /// Takes a used batch's images back, so that their memory serves again.
    pub fn recycle(&self, images: Vec<f32>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() <= self.options.prefetch {
            spare.push(images);
        }
    }

    /// Makes every call that is under way end with its present picture.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Number of pictures that could not be read so far.
    pub fn skipped_count(&self) -> usize {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every picture that could not be read so far, by index.
    pub fn skipped(&self) -> Vec<Skipped> {
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = |(&index, problem): (&u32, &String)| Skipped {
            index,
            name: self.source.name(index as usize),
            problem: problem.clone(),
        };
        bad.iter().map(skipped).collect()
    }

    fn known_bad(&self, index: u32) -> Option<String> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }

    fn try_sample(
        &self,
        index: u32,
        augment: &Augment,
        rng: &mut Rng,
        out: &mut [f32],
    ) -> Result<()> {
        match self.source.decode(index as usize)? {
            Decoded::Eight(picture) => self.cut(&picture, augment, rng, out)?,
            #[cfg(feature = "native")]
            Decoded::Sixteen(picture) => self.cut(&picture, augment, rng, out)?,
        }
        #[cfg(feature = "labels")]
        if let Some(erasing) = &augment.erasing {
            let [height, width] = self.options.image_size;
            erasing.apply(out, [self.source.channels(), height, width], rng);
        }
        Ok(())
    }

    /// A part of `picture`, changed and normalised.
    fn cut<S: Sample>(
        &self,
        picture: &Pixels<S>,
        augment: &Augment,
        rng: &mut Rng,
        out: &mut [f32],
    ) -> Result<()> {
        let sample = augment.apply(picture, self.options.image_size, rng)?;
        self.normalization.normalise(&sample, out);
        Ok(())
    }
}
