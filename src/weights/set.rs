//! Which of a file's tensors are the model's: a file may hold several sets of weights, and modules beside a model.

use std::collections::BTreeMap;

use super::checkpoint::{AVERAGE, PARAM};
#[cfg(feature = "native")]
use super::names::{Format, stem};
#[cfg(feature = "native")]
use crate::error::Error;
use crate::error::Result;
use crate::files::listing::Listing;
#[cfg(feature = "native")]
use crate::files::set_keys::rank;

/// The sets of weights in a file, such as a model and its moving average.
#[cfg(feature = "native")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sets {
    /// Key of the one that was read; empty where the file is one set.
    pub chosen: String,
    /// Keys of the others.
    pub others: Vec<String>,
}

/// One set of weights.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Its key and those of the others; no key where the file is one set.
    #[cfg(feature = "native")]
    keys: Sets,
    /// Names of its tensors, by those in the file.
    names: BTreeMap<String, String>,
    /// The file's names of what belongs to no set.
    pub outside: Vec<String>,
}

impl Set {
    /// The set that `key` names, else the usual one: of a checkpoint of this crate the moving averages, if it has some;
    /// of other files the first by [`rank`].
    ///
    /// # Errors
    /// [`Error::BadWeights`] if there is none of that key.
    pub fn choose(listing: &Listing, is_checkpoint: bool, key: Option<&str>) -> Result<Self> {
        if is_checkpoint {
            return Self::of_checkpoint(listing, key);
        }
        #[cfg(feature = "native")]
        return Self::of_weights(listing, key);
        // To browsers a file is one set of weights: looking for more would cost every visitor its bytes.
        #[cfg(not(feature = "native"))]
        Ok(Self {
            names: listing.keys().map(|name| (name.clone(), name.clone())).collect(),
            outside: Vec::new(),
        })
    }

    fn of_checkpoint(listing: &Listing, key: Option<&str>) -> Result<Self> {
        let has_average = listing.keys().any(|name| name.starts_with(AVERAGE));
        let prefixes: &[&str] = if has_average { &[AVERAGE, PARAM] } else { &[PARAM] };
        #[cfg(feature = "native")]
        let keys: Vec<String> =
            prefixes.iter().map(|prefix| prefix.trim_end_matches('/').to_owned()).collect();
        #[cfg(feature = "native")]
        let chosen = match key {
            None => 0,
            Some(key) => {
                keys.iter().position(|other| other == key).ok_or_else(|| none(key, &keys))?
            }
        };
        // In a browser nobody chooses.
        #[cfg(not(feature = "native"))]
        let (chosen, _) = (0, key);
        let prefix = prefixes[chosen];
        let own = |name: &String| {
            // What is not trained has no average, and belongs to both sets.
            let untrained = || {
                let own = name.strip_prefix(PARAM)?;
                (!listing.contains_key(&format!("{prefix}{own}"))).then_some(own)
            };
            let own = name.strip_prefix(prefix).or_else(untrained)?;
            Some((name.clone(), own.to_owned()))
        };
        let mut set = Self::default();
        set.names.extend(listing.keys().filter_map(own));
        #[cfg(feature = "native")]
        if has_average {
            let others = keys.iter().filter(|key| **key != keys[chosen]).cloned().collect();
            set.keys = Sets { chosen: keys[chosen].clone(), others };
        }
        Ok(set)
    }

    /// Sets lie side by side where a model's patch embedding occurs several times, behind other beginnings of its name.
    #[cfg(feature = "native")]
    fn of_weights(listing: &Listing, key: Option<&str>) -> Result<Self> {
        let mut stems: BTreeMap<&str, Format> = BTreeMap::new();
        stems.extend(listing.keys().filter_map(|name| stem(name)));
        let all = beginnings(stems.keys().copied());
        let mut prefix = key.map_or(String::new(), |key| format!("{key}."));
        if let Some(key) = key
            && !listing.keys().any(|name| name.starts_with(&prefix))
        {
            let keys: Vec<String> = all.iter().map(|part| key_of(part).to_owned()).collect();
            return Err(none(key, &keys));
        }
        let below = beginnings(stems.keys().filter_map(|stem| stem.strip_prefix(&*prefix)));
        prefix += below.first().unwrap_or(&"");
        let stem =
            stems.iter().find_map(|(stem, format)| Some((stem.strip_prefix(&*prefix)?, *format)));
        let mut set = Self::default();
        let others = || all.iter().filter(|other| !prefix.starts_with(**other));
        set.keys = Sets {
            chosen: key_of(&prefix).to_owned(),
            others: others().map(|other| key_of(other).to_owned()).collect(),
        };
        for name in listing.keys() {
            if others().any(|other| name.starts_with(other)) {
                continue;
            }
            let own = name.strip_prefix(&*prefix).and_then(|own| match stem {
                Some((stem, format)) => own.strip_prefix(stem).or_else(|| {
                    // A head beside the encoder's module; what else is there is no part of the model.
                    let within = listing.contains_key(&format!("{prefix}{stem}{own}"));
                    (!within && format.knows(own)).then_some(own)
                }),
                None => Some(own),
            });
            match own {
                Some(own) => drop(set.names.insert(name.clone(), own.to_owned())),
                None => set.outside.push(name.clone()),
            }
        }
        Ok(set)
    }

    /// The set's name of a tensor of the file, if it belongs to the set.
    pub fn name(&self, tensor: &str) -> Option<&str> {
        self.names.get(tensor).map(String::as_str)
    }

    /// The key of this set and those of the others, in the dictionary `outer` of the file, which has `beside` it.
    #[cfg(feature = "native")]
    pub fn sets(self, outer: &str, beside: &[String]) -> Sets {
        let at = |key: &str| match (outer, key) {
            ("", key) | (key, "") => key.to_owned(),
            (outer, key) => format!("{outer}.{key}"),
        };
        let Sets { chosen, others } = self.keys;
        let inner = others.iter().map(|key| at(key));
        Sets { chosen: at(&chosen), others: inner.chain(beside.iter().cloned()).collect() }
    }
}

/// For each of several `stems` the shortest beginning that no other has; nothing to tell apart for one. The usual set
/// comes first.
#[cfg(feature = "native")]
fn beginnings<'a>(stems: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let stems: Vec<&str> = stems.collect();
    let beginning = |stem: &&'a str| {
        let alone =
            |part: &&str| stems.iter().filter(|other| other.starts_with(*part)).count() == 1;
        let parts = stem.match_indices('.').map(|(dot, _)| &stem[..=dot]);
        if stems.len() == 1 { "" } else { parts.clone().find(alone).unwrap_or(stem) }
    };
    let mut beginnings: Vec<&str> = stems.iter().map(beginning).collect();
    if let Some(usual) = (0..beginnings.len()).min_by_key(|at| rank(beginnings[*at])) {
        beginnings[..=usual].rotate_right(1);
    }
    beginnings
}

/// What a user calls the set of a beginning.
#[cfg(feature = "native")]
fn key_of(beginning: &str) -> &str {
    beginning.trim_end_matches('.')
}

/// There is no set of weights below `key`, but there are these.
#[cfg(feature = "native")]
fn none(key: &str, keys: &[String]) -> Error {
    let problem = match keys.concat().is_empty() {
        true => "is one set of weights; only a file of several has one to choose".to_owned(),
        false => format!("has no weights below {key:?}; it has them below {keys:?}"),
    };
    Error::BadWeights { problem }
}
