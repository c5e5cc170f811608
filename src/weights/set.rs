//! Which of a file's tensors are the model's: a checkpoint may hold two sets of weights.

use super::checkpoint::{AVERAGE, PARAM};
use crate::error::{Error, Result};
use crate::files::listing::Listing;

/// The sets of weights in a checkpoint, such as a model and its moving average.
#[cfg(feature = "native")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sets {
    /// Key of the one that was read; empty where the file is one set.
    pub chosen: String,
    /// Keys of the others.
    pub others: Vec<String>,
}

/// One set of weights.
#[derive(Debug)]
pub(super) struct Set {
    /// What its tensors' names begin with; nothing in a file of weights alone.
    prefix: &'static str,
    /// The parameters of which the file has moving averages.
    averaged: Vec<String>,
}

impl Set {
    /// The usual set of a file with these tensors: of a checkpoint the moving averages, if it has some.
    pub fn usual(listing: &Listing, is_checkpoint: bool) -> Self {
        let averaged = listing.keys().filter_map(|name| name.strip_prefix(AVERAGE));
        let averaged: Vec<String> = averaged.map(str::to_owned).collect();
        let prefix = match (is_checkpoint, averaged.is_empty()) {
            (false, _) => "",
            (true, true) => PARAM,
            (true, false) => AVERAGE,
        };
        Self { prefix, averaged }
    }

    /// The set of the same file that is called `key`, where this is the usual one.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if there is no such set.
    pub fn named(self, key: &str) -> Result<Self> {
        let refused = |problem: String| Err(Error::BadWeights { problem });
        if self.prefix.is_empty() {
            let problem = "is one set of weights; only a checkpoint has several to choose from";
            return refused(problem.to_owned());
        }
        let prefixes = self.prefixes();
        if let Some(prefix) = prefixes.iter().find(|prefix| key_of(prefix) == key) {
            return Ok(Self { prefix, ..self });
        }
        let keys: Vec<&str> = prefixes.iter().map(|prefix| key_of(prefix)).collect();
        refused(format!("has no weights below {key:?}; it has them below {keys:?}"))
    }

    /// What the names begin with in each set of the checkpoint, the usual one first.
    fn prefixes(&self) -> &'static [&'static str] {
        if self.averaged.is_empty() { &[PARAM] } else { &[AVERAGE, PARAM] }
    }

    /// The parameter that a tensor of the file is, if it belongs to the set. What is not trained has no average, and
    /// belongs to both sets.
    pub fn name<'a>(&self, tensor: &'a str) -> Option<&'a str> {
        let has_average = |name: &str| self.averaged.iter().any(|averaged| averaged == name);
        let untrained = || {
            let name = tensor.strip_prefix(PARAM)?;
            (self.prefix == AVERAGE && !has_average(name)).then_some(name)
        };
        tensor.strip_prefix(self.prefix).or_else(untrained)
    }

    /// The key of this set and those of the others; nothing where there is one alone.
    #[cfg(feature = "native")]
    pub fn sets(&self) -> Sets {
        if self.prefix.is_empty() || self.averaged.is_empty() {
            return Sets::default();
        }
        let others = self.prefixes().iter().filter(|prefix| **prefix != self.prefix);
        let others = others.map(|prefix| key_of(prefix).to_owned()).collect();
        Sets { chosen: key_of(self.prefix).to_owned(), others }
    }
}

/// What a user calls the set of a prefix.
fn key_of(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}
