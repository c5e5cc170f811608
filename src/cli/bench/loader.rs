//! How fast batches are prepared: pictures decoded, cropped at random, mirrored, resized, normalised.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::data::pixels::Sample;
use crate::data::{
    Augment, Cursor, Decoded, ImageSource, Loader, LoaderOptions, Normalization, Pixels,
    fixed_indices,
};
use crate::error::Result;
use crate::measure::samples::Samples;
use crate::measure::{Repeats, STREAM};
use crate::philox::Rng;

/// Batches are timed in groups that last at least this long.
const GROUP: Duration = Duration::from_millis(250);
/// Batches whose time says how many a group has: well more than are prepared ahead, some of which are
/// ready at once.
const TRIAL: usize = 12;
/// Pictures whose stages are timed one by one, at most.
const STAGED: usize = 512;

/// Speed of the loader with some number of workers.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderSpeed {
    /// Threads that prepared batches.
    pub workers: usize,
    /// Pictures per second.
    pub images_per_second: Samples,
    /// Pictures that could not be read and were replaced by others.
    pub unreadable: usize,
}

/// Milliseconds that a picture spends in each stage, on one core.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StageTimes {
    /// Pictures measured.
    pub images: usize,
    /// Reading and decoding.
    pub decode_ms: f64,
    /// Crop, resize, flip.
    pub augment_ms: f64,
    /// Bytes into normalised values.
    pub normalise_ms: f64,
}

/// Statistics that fit any number of channels: values do not matter here.
fn normalization(source: &dyn ImageSource) -> Result<Normalization> {
    Normalization::new(vec![0.5; source.channels()], vec![0.25; source.channels()])
}

/// Measures batches of `batch_size` samples of `[height, width]` from `source`, augmented as in
/// pre-training ([`Augment::pretrain`]), with `workers` threads.
///
/// # Errors
/// [`crate::Error::Config`] if an option is out of range or no picture can be read at all.
pub fn loader_speed(
    source: &Arc<dyn ImageSource>,
    image_size: [usize; 2],
    batch_size: usize,
    workers: usize,
    repeats: Repeats,
) -> Result<LoaderSpeed> {
    let options =
        LoaderOptions { threads: workers, ..LoaderOptions::train(batch_size, image_size, 0) };
    let statistics = normalization(source.as_ref())?;
    let mut loader = Loader::new(Arc::clone(source), statistics, options, Cursor::default())?;
    let mut group = |batches: usize| -> Result<Duration> {
        let began = Instant::now();
        for _ in 0..batches {
            let batch = loader.next_batch()?;
            loader.recycle(batch.images);
        }
        Ok(began.elapsed())
    };
    group(repeats.warmup.max(1))?;
    let once = group(TRIAL)?.as_secs_f64() / TRIAL as f64;
    let batches = (GROUP.as_secs_f64() / once).ceil().clamp(1.0, 1e6) as usize;
    let mut rates = Vec::new();
    for _ in 0..repeats.samples.max(1) {
        rates.push((batches * batch_size) as f64 / group(batches)?.as_secs_f64());
    }
    let (images_per_second, unreadable) = (Samples::new(rates), loader.skipped().len());
    Ok(LoaderSpeed { workers, images_per_second, unreadable })
}

/// Times the stages of preparing pictures of `source`, drawn at random, one after the other on one
/// core.
///
/// # Errors
/// [`crate::Error::Argument`] for a picture too thin to be resized; the first picture's error if none
/// could be read.
pub fn stage_times(source: &dyn ImageSource, image_size: [usize; 2]) -> Result<StageTimes> {
    let statistics = normalization(source)?;
    let (augment, mut rng) = (Augment::pretrain(), Rng::new(0, [STREAM, 2, 0]));
    let mut values = vec![0.0; source.channels() * image_size[0] * image_size[1]];
    let mut sums = [Duration::ZERO; 3];
    let (mut images, mut problem) = (0, None);
    for index in fixed_indices(source.len(), STAGED, 0) {
        let began = Instant::now();
        let picture = match source.decode(index as usize) {
            Ok(picture) => picture,
            Err(error) => {
                problem.get_or_insert(error);
                continue;
            }
        };
        sums[0] += began.elapsed();
        let mut stages = Stages { augment, image_size, rng: &mut rng, statistics: &statistics };
        let [augmenting, normalising] = match &picture {
            Decoded::Eight(picture) => stages.time(picture, &mut values)?,
            Decoded::Sixteen(picture) => stages.time(picture, &mut values)?,
        };
        sums[1] += augmenting;
        sums[2] += normalising;
        images += 1;
    }
    if let (0, Some(problem)) = (images, problem) {
        return Err(problem);
    }
    let [decode_ms, augment_ms, normalise_ms] =
        sums.map(|sum| sum.as_secs_f64() * 1e3 / images as f64);
    Ok(StageTimes { images, decode_ms, augment_ms, normalise_ms })
}

/// What follows decoding.
struct Stages<'a> {
    augment: Augment,
    image_size: [usize; 2],
    rng: &'a mut Rng,
    statistics: &'a Normalization,
}

impl Stages<'_> {
    /// The times of augmenting and of normalising `picture` into `values`.
    fn time<S: Sample>(
        &mut self,
        picture: &Pixels<S>,
        values: &mut [f32],
    ) -> Result<[Duration; 2]> {
        let began = Instant::now();
        let sample = self.augment.apply(picture, self.image_size, self.rng)?;
        let augmented = Instant::now();
        self.statistics.normalise(&sample, values);
        Ok([augmented - began, augmented.elapsed()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    #[test]
    fn any_source_is_measured() {
        let mut memory = Memory::new(2);
        memory.push(Pixels::<u8>::zeros(9, 7, 2));
        let source: Arc<dyn ImageSource> = Arc::new(memory);
        let repeats = Repeats { warmup: 0, samples: 2 };
        let speed = loader_speed(&source, [4, 4], 3, 1, repeats).unwrap();
        assert_eq!((speed.workers, speed.unreadable), (1, 0));
        assert_eq!(speed.images_per_second.values().len(), 2);
        assert!(speed.images_per_second.median() > 0.0);
        let stages = stage_times(source.as_ref(), [4, 4]).unwrap();
        assert_eq!(stages.images, 1);
        assert!((stages.decode_ms + stages.augment_ms + stages.normalise_ms).is_finite());
    }
}
