//! Where pictures come from.

use std::path::PathBuf;

use crate::data::pixels::Decoded;
use crate::error::Result;

/// A fixed list of pictures, each decoded on demand by any thread.
pub trait ImageSource: Send + Sync {
    /// Number of pictures, at least 1.
    fn len(&self) -> usize;

    /// Whether there is none; an opened source never is.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels of every decoded picture.
    fn channels(&self) -> usize;

    /// The class of picture `index`, if pictures have classes.
    fn label(&self, index: usize) -> Option<usize>;

    /// The classes' names in the order of labels; empty without classes.
    fn class_names(&self) -> &[String];

    /// The discrete tokens of picture `index`, row by row, if it comes with some.
    fn tokens(&self, _index: usize) -> Option<&[u32]> {
        None
    }

    /// What picture `index` is called in messages, e.g. its path.
    fn name(&self, index: usize) -> String;

    /// What picture `index` is known by wherever its data set lies: its name within it, and the size in bytes of
    /// what holds it, where that is a file of its own.
    fn identity(&self, index: usize) -> (String, Option<u64>) {
        (self.name(index), None)
    }

    /// The picture itself. The same index always gives the same pixels.
    ///
    /// # Errors
    /// Says which picture could not be read, and why.
    fn decode(&self, index: usize) -> Result<Decoded>;

    /// What was decided when the source was opened, and may surprise: what was left out, names that are nearly
    /// the same. One line each.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// [`Self::notes`] as they stand behind the problem of an error.
    fn remarks(&self) -> String {
        remarks(self.notes())
    }

    /// Where a tree of class folders may be, if this is none but has one in it.
    fn tree_below(&self) -> Option<PathBuf> {
        None
    }

    /// One line on what was found: kind, pictures, classes.
    fn describe(&self) -> String;
}

/// Notes as they stand behind the problem of an error.
pub(super) fn remarks(notes: &[String]) -> String {
    notes.iter().map(|note| format!("; {note}")).collect()
}
