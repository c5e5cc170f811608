//! Training and held-out data: as the data is laid out, or as a part set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::held_out::held_out_path;
use super::names::differ_by_case;
use super::open::{open, open_path};
use super::options::SourceOptions;
use super::source::ImageSource;
use crate::data::indices::fixed_indices;
use crate::data::pixels::Decoded;
use crate::error::{Error, Result};

/// One in so many pictures is set aside where the data has no held-out part …
const HELD_OUT_SHARE: usize = 20;

/// … but not more than so many …
const MAX_HELD_OUT: usize = 512;

/// … except for one of each class, as long as all together are at most one in so many.
const ONE_OF_EACH_SHARE: usize = 4;

/// Data to train on and data to measure with.
pub struct Split {
    /// To train on.
    pub train: Arc<dyn ImageSource>,
    /// To measure with; labels count in `train`'s classes.
    pub held_out: Arc<dyn ImageSource>,
    /// Where the held-out part comes from, in one line.
    pub how: String,
}

impl Split {
    /// What was decided when both parts were opened, see [`ImageSource::notes`].
    pub fn notes(&self) -> Vec<String> {
        let train = self.train.notes();
        let other = self.held_out.notes().iter().filter(|note| !train.contains(note));
        train.iter().chain(other).cloned().collect()
    }
}

/// Opens `data` for training and finds held-out data, in this order: `held_out` if given; the `val` or `test` folder
/// (`Valid`, `test_set` …) beside or below `data`'s `train` folder; CIFAR's `test_batch.bin` beside its
/// `data_batch_*.bin`; else 5 % of the pictures (1 to 512, readable ones), drawn from `options.seed`, of each class its
/// share: of a class with two or more at least one, if that is not more than a quarter of all, and never the last. A
/// single picture is both.
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
    let chosen = stratified(train.as_ref(), options.seed);
    let count = chosen.len();
    let is_chosen = |index: &u32| chosen.binary_search(index).is_ok();
    let rest = (0..train.len() as u32).filter(|index| !is_chosen(index)).collect();
    let share = if train.class_names().len() > 1 { ", of each class its share" } else { "" };
    let how =
        format!("{count} of {} pictures set aside{share} (seed {})", train.len(), options.seed);
    let held_out = Arc::new(Subset::new(train.clone(), chosen)?);
    Ok(Split { train: Arc::new(Subset::new(train, rest)?), held_out, how })
}

/// Indices to set aside, in order, of each class (and of what has none) its share, drawn from `seed`.
fn stratified(source: &dyn ImageSource, seed: u64) -> Vec<u32> {
    let mut classes: BTreeMap<Option<usize>, Vec<u32>> = BTreeMap::new();
    for index in 0..source.len() {
        classes.entry(source.label(index)).or_default().push(index as u32);
    }
    let mut count = (source.len() / HELD_OUT_SHARE).clamp(1, MAX_HELD_OUT);
    let mut sizes: Vec<usize> = classes.values().map(Vec::len).collect();
    // Each keeps one to learn from, unless nothing could be set aside then.
    if sizes.iter().any(|&size| size > 1) {
        sizes.iter_mut().for_each(|size| *size -= 1);
        let several = sizes.iter().filter(|&&size| size > 0).count();
        if several <= source.len() / ONE_OF_EACH_SHARE {
            count = count.max(several);
        }
        count = count.min(sizes.iter().sum());
    }
    let mut chosen = Vec::new();
    for ((members, share), stratum) in classes.values().zip(shares(&sizes, count)).zip(0..) {
        let drawn = fixed_indices(members.len(), share, seed.wrapping_add(stratum));
        chosen.extend(readable(source, members, &drawn));
    }
    chosen.sort_unstable();
    chosen
}

/// `count`, at most their sum, split in proportion to `sizes`: whole parts first, then one more for the largest
/// remainders; but at least one each, as far as they go.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1);
    let mut shares: Vec<usize> = sizes.iter().map(|size| size * count / total).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&stratum| std::cmp::Reverse(sizes[stratum] * count % total));
    let missing = count - shares.iter().sum::<usize>();
    order.into_iter().take(missing).for_each(|stratum| shares[stratum] += 1);
    // One for each that would have none, from those that give the most of themselves.
    while let Some(none) = (0..sizes.len()).find(|&i| sizes[i] > 0 && shares[i] == 0) {
        let several = (0..sizes.len()).filter(|&i| shares[i] > 1);
        let by_part = |&a: &usize, &b: &usize| (shares[a] * sizes[b]).cmp(&(shares[b] * sizes[a]));
        let Some(most) = several.max_by(by_part) else { break };
        shares[most] -= 1;
        shares[none] = 1;
    }
    shares
}

/// Those of `members` at the places `drawn`, each that cannot be read replaced by the next that can, if any is
/// left: a held-out set is small, and one bad file must not be all of it.
fn readable(source: &dyn ImageSource, members: &[u32], drawn: &[u32]) -> BTreeSet<u32> {
    let mut chosen = BTreeSet::new();
    for &place in drawn {
        let (before, from) = members.split_at(place as usize);
        let mut candidates = from.iter().chain(before);
        let good = |i: &&u32| !chosen.contains(*i) && source.decode(**i as usize).is_ok();
        let found = *candidates.find(good).unwrap_or(&members[place as usize]);
        chosen.insert(found);
    }
    chosen
}

/// `source` with its labels counted in other `classes` (none where a class is missing there).
pub fn with_classes(classes: &[String], source: Arc<dyn ImageSource>) -> Arc<dyn ImageSource> {
    if source.class_names() == classes {
        return source;
    }
    let position = |name: &String| classes.iter().position(|n| n == name);
    let labels = source.class_names().iter().map(position).collect();
    let mut notes = source.notes().to_vec();
    if let Some([here, there]) = differ_by_case(source.class_names(), classes) {
        notes.push(format!(
            "the class {here} is not known, but {there} is: name them alike if they are one"
        ));
    }
    Arc::new(Relabelled { source, labels, class_names: classes.to_vec(), notes })
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

    fn identity(&self, index: usize) -> (String, Option<u64>) {
        self.source.identity(self.indices[index] as usize)
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        self.source.decode(self.indices[index] as usize)
    }

    fn notes(&self) -> &[String] {
        self.source.notes()
    }

    fn tree_below(&self) -> Option<PathBuf> {
        self.source.tree_below()
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
    notes: Vec<String>,
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

    fn identity(&self, index: usize) -> (String, Option<u64>) {
        self.source.identity(index)
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        self.source.decode(index)
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn tree_below(&self) -> Option<PathBuf> {
        self.source.tree_below()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_proportion() {
        assert_eq!(shares(&[100], 5), [5]);
        assert_eq!(shares(&[60, 30, 10], 10), [6, 3, 1]);
        // 2.7, 2.0 and 0.3: one more for the first, which gives one to the last.
        assert_eq!(shares(&[54, 40, 6], 5), [2, 2, 1]);
        assert_eq!(shares(&[99, 9, 0], 5), [4, 1, 0]);
        assert_eq!(shares(&[1, 1, 1], 3), [1, 1, 1]);
        assert_eq!(shares(&[5, 5, 5, 5], 2), [1, 1, 0, 0]);
    }
}
