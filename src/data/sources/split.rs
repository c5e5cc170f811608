//! Training and held-out data: as the data is laid out, or as a part set aside.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::held_out::held_out_path;
use super::open::{open, open_path};
use super::options::SourceOptions;
use super::source::ImageSource;
use crate::data::indices::fixed_indices;
use crate::data::pixels::Pixels;
use crate::error::{Error, Result};

/// One in so many pictures is set aside where the data has no held-out part …
const HELD_OUT_SHARE: usize = 20;

/// … but not more than so many.
const MAX_HELD_OUT: usize = 512;

/// Data to train on and data to measure with.
pub struct Split {
    /// To train on.
    pub train: Arc<dyn ImageSource>,
    /// To measure with; labels count in `train`'s classes.
    pub held_out: Arc<dyn ImageSource>,
    /// Where the held-out part comes from, in one line.
    pub how: String,
}

/// Opens `data` for training and finds held-out data, in this order: `held_out` if given; the
/// `val` (`valid`, `validation`, `test`) folder beside or below `data`'s `train` folder; CIFAR's
/// `test_batch.bin` beside its `data_batch_*.bin`; else 5 % of the pictures (1 to 512, readable ones), drawn
/// from `options.seed`. A single picture is both.
///
/// # Errors
/// As [`open`], for either part.
pub fn open_split(data: &str, held_out: Option<&str>, options: &SourceOptions) -> Result<Split> {
    let train = open(data, options)?;
    let found = match held_out {
        Some(spec) => Some((open(spec, options)?, format!("as given: {spec}"))),
        None => match held_out_path(Path::new(data)) {
            Some(path) => {
                let source = open_path(&path, options)?;
                Some((source, format!("from {}", path.display())))
            }
            None => None,
        },
    };
    if let Some((source, how)) = found {
        let held_out = with_classes(train.class_names(), source);
        return Ok(Split { train, held_out, how });
    }
    if train.len() == 1 {
        let how = "the only picture serves as held-out data too".to_owned();
        return Ok(Split { held_out: train.clone(), train, how });
    }
    let count = (train.len() / HELD_OUT_SHARE).clamp(1, MAX_HELD_OUT);
    let chosen = readable(train.as_ref(), &fixed_indices(train.len(), count, options.seed));
    let is_chosen = |index: &u32| chosen.binary_search(index).is_ok();
    let rest = (0..train.len() as u32).filter(|index| !is_chosen(index)).collect();
    let how = format!("{count} of {} pictures set aside (seed {})", train.len(), options.seed);
    let held_out = Arc::new(Subset::new(train.clone(), chosen)?);
    Ok(Split { train: Arc::new(Subset::new(train, rest)?), held_out, how })
}

/// `indices` in order, with each that cannot be read replaced by the next that can, if any is left:
/// a held-out set is small, and one bad file must not be all of it.
fn readable(source: &dyn ImageSource, indices: &[u32]) -> Vec<u32> {
    let len = source.len() as u32;
    let mut chosen = BTreeSet::new();
    for &index in indices {
        let mut candidates = (index..len).chain(0..index);
        let good = |i: &u32| !chosen.contains(i) && source.decode(*i as usize).is_ok();
        let found = candidates.find(good).unwrap_or(index);
        chosen.insert(found);
    }
    chosen.into_iter().collect()
}

/// `source` with its labels counted in other `classes` (none where a class is missing there).
pub fn with_classes(classes: &[String], source: Arc<dyn ImageSource>) -> Arc<dyn ImageSource> {
    if source.class_names() == classes {
        return source;
    }
    let position = |name: &String| classes.iter().position(|n| n == name);
    let labels = source.class_names().iter().map(position).collect();
    Arc::new(Relabelled { source, labels, class_names: classes.to_vec() })
}

/// Opens the held-out part of `data`, as [`open_split`] finds it by the layout, or all of it where there is
/// none; and says which.
///
/// # Errors
/// As [`open`].
pub fn open_held_out(
    data: &str,
    options: &SourceOptions,
) -> Result<(Arc<dyn ImageSource>, String)> {
    match held_out_path(Path::new(data)) {
        Some(path) => Ok((open_path(&path, options)?, format!("from {}", path.display()))),
        None => Ok((open(data, options)?, "all of it".to_owned())),
    }
}

/// Some pictures of another source.
pub struct Subset {
    source: Arc<dyn ImageSource>,
    indices: Vec<u32>,
}

impl Subset {
    /// The pictures `indices` of `source`, in that order.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are none or an index is out of range.
    pub fn new(source: Arc<dyn ImageSource>, indices: Vec<u32>) -> Result<Self> {
        let len = source.len();
        match indices.iter().find(|&&index| index as usize >= len) {
            Some(index) => {
                Err(Error::argument("subset", format!("picture {index} of {len} does not exist")))
            }
            None if indices.is_empty() => Err(Error::argument("subset", "has no pictures")),
            None => Ok(Self { source, indices }),
        }
    }
}

impl ImageSource for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.indices.get(index).and_then(|&index| self.source.label(index as usize))
    }

    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }

    fn tokens(&self, index: usize) -> Option<&[u32]> {
        self.indices.get(index).and_then(|&index| self.source.tokens(index as usize))
    }

    fn name(&self, index: usize) -> String {
        self.indices.get(index).map_or_else(String::new, |&i| self.source.name(i as usize))
    }

    fn decode(&self, index: usize) -> Result<Pixels> {
        self.source.decode(self.indices[index] as usize)
    }

    fn describe(&self) -> String {
        format!("{} pictures of {}", self.indices.len(), self.source.describe())
    }
}

/// A source whose labels count in another list of classes.
struct Relabelled {
    source: Arc<dyn ImageSource>,
    /// New label of each old one.
    labels: Vec<Option<usize>>,
    class_names: Vec<String>,
}

impl ImageSource for Relabelled {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.source.label(index).and_then(|old| self.labels[old])
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn decode(&self, index: usize) -> Result<Pixels> {
        self.source.decode(index)
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}
