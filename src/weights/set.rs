//! Which of a file's tensors are the model's: a checkpoint may hold two sets of weights.

use super::checkpoint::{AVERAGE, PARAM};
use crate::error::{Error, Result};
use crate::files::listing::Listing;

/// What the tensors' names begin with in the sets of a checkpoint with moving averages; the usual set first.
const PREFIXES: [&str; 2] = [AVERAGE, PARAM];

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

/// What a user calls the set of a prefix.
fn key_of(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

impl Set {
    /// The set that is called `key`; without one the usual.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if there is no such set.
    pub fn choose(listing: &Listing, is_checkpoint: bool, key: Option<&str>) -> Result<Self> {
        let averaged = listing.keys().filter_map(|name| name.strip_prefix(AVERAGE));
        let averaged: Vec<String> = averaged.map(str::to_owned).collect();
        let prefixes = match (is_checkpoint, averaged.is_empty()) {
            (false, _) => &[""][..],
            (true, true) => &[PARAM],
            (true, false) => &PREFIXES,
        };
        let is_wanted = |prefix: &&&str| key.is_none_or(|key| key_of(prefix) == key);
        if let Some(&prefix) = prefixes.iter().find(is_wanted) {
            return Ok(Self { prefix, averaged });
        }
        let problem = match is_checkpoint {
            false => {
                "is one set of weights; only a checkpoint has several to choose from".to_owned()
            }
            true => {
                let keys: Vec<&str> = prefixes.iter().map(|prefix| key_of(prefix)).collect();
                format!("has no weights below {:?}; it has them below {keys:?}", key.unwrap_or(""))
            }
        };
        Err(Error::BadWeights { problem })
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
        if !PREFIXES.contains(&self.prefix) || self.averaged.is_empty() {
            return Sets::default();
        }
        let others = PREFIXES.into_iter().filter(|prefix| *prefix != self.prefix);
        let others = others.map(|prefix| key_of(prefix).to_owned()).collect();
        Sets { chosen: key_of(self.prefix).to_owned(), others }
    }
}
