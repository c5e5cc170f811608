//! How good a classifier is on pictures that it was not trained on.

use std::sync::Arc;

use pollster::block_on;

use super::features::Features;
use crate::data::{Cursor, ImageSource, Loader, LoaderOptions, Normalization, Skipped};
use crate::error::Result;
use crate::model::predict::{Predictor, ranked, softmax};
use crate::report::accuracy::Accuracy;
use crate::report::confusion::Confusion;
use crate::tensor::not_finite;

/// Ranks within which a class counts as found in [`Evaluation::top5`].
const TOP: usize = 5;

/// Labelled data to measure on.
pub enum LabelledData {
    /// Pictures, of which the centre is shown.
    Pictures {
        /// Each has a class.
        source: Arc<dyn ImageSource>,
        /// Pixel statistics.
        normalization: Normalization,
        /// `[height, width]` of a sample.
        image_size: [usize; 2],
    },
    /// A frozen encoder's features with their classes.
    Features {
        /// `[N, D]`.
        features: Features,
        /// `N` classes.
        labels: Vec<u32>,
    },
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean cross entropy; NaN if a logit is not finite.
    pub loss: f64,
    /// Pictures whose class has the largest logit.
    pub top1: Accuracy,
    /// Share of pictures whose class is among the five largest.
    pub top5: f64,
    /// True and predicted classes.
    pub confusion: Confusion,
    /// Pictures that could not be read and were left out.
    pub skipped: Vec<Skipped>,
    /// Pictures with a logit that is not finite: accuracy and confusion mean nothing then.
    pub meaningless: usize,
}

/// Sums over batches.
struct Sums {
    loss: f64,
    hits: [usize; 2],
    count: usize,
    meaningless: usize,
    confusion: Confusion,
}

impl Sums {
    fn add(&mut self, logits: &[f32], label: usize) {
        if not_finite(logits).is_some() {
            self.meaningless += 1;
            self.loss = f64::NAN;
        }
        let order = ranked(logits);
        let rank = order.iter().position(|&class| class == label).expect("a known class");
        self.loss -= f64::from(softmax(logits)[label].max(f32::MIN_POSITIVE)).ln();
        self.hits[0] += usize::from(rank == 0);
        self.hits[1] += usize::from(rank < TOP);
        self.count += 1;
        self.confusion.add(label, order[0]);
    }
}

impl LabelledData {
    /// Number of pictures.
    pub fn len(&self) -> usize {
        match self {
            Self::Pictures { source, .. } => source.len(),
            Self::Features { labels, .. } => labels.len(),
        }
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Measures `predictor`, whose classes are `class_names`. `progress` is told how many pictures are
    /// done.
    ///
    /// # Errors
    /// If no picture can be read, or the device failed.
    ///
    /// # Panics
    /// If a picture has no class, or one that is not among them.
    pub fn evaluate(
        &self,
        predictor: &Predictor,
        class_names: &[String],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Evaluation> {
        let confusion = Confusion::new(class_names.to_vec());
        let mut sums = Sums { loss: 0.0, hits: [0; 2], count: 0, meaningless: 0, confusion };
        let mut skipped = Vec::new();
        match self {
            Self::Pictures { source, normalization, image_size } => {
                let options = LoaderOptions::eval(predictor.batch(), *image_size);
                let (source, normalization) = (Arc::clone(source), normalization.clone());
                let mut loader =
                    Loader::new(Arc::clone(&source), normalization, options, Cursor::default())?;
                let mut done = 0;
                for _ in 0..loader.batches_per_epoch() {
                    let batch = loader.next_batch()?;
                    let logits = block_on(predictor.run(&batch.images))?;
                    let rows = logits.chunks_exact(predictor.classes());
                    for ((row, &shown), &drawn) in rows.zip(&batch.sample_ids).zip(&batch.draw_ids)
                    {
                        // An unreadable picture's place was taken by another one.
                        if shown == drawn {
                            sums.add(row, source.label(shown as usize).expect("a label"));
                        }
                    }
                    done += batch.len();
                    progress(done);
                    loader.recycle(batch.images);
                }
                skipped = loader.skipped();
            }
            Self::Features { features, labels } => {
                let rows = predictor.batch() * features.dim;
                for (values, labels) in
                    features.values.chunks(rows).zip(labels.chunks(predictor.batch()))
                {
                    let logits = block_on(predictor.run(values))?;
                    for (row, &label) in logits.chunks_exact(predictor.classes()).zip(labels) {
                        sums.add(row, label as usize);
                    }
                    progress(sums.count);
                }
            }
        }
        let count = sums.count.max(1) as f64;
        Ok(Evaluation {
            loss: sums.loss / count,
            top1: Accuracy { share: sums.hits[0] as f64 / count, pictures: sums.count },
            top5: sums.hits[1] as f64 / count,
            confusion: sums.confusion,
            skipped,
            meaningless: sums.meaningless,
        })
    }
}
