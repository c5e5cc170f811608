//! Which of a checkpoint's dictionaries are state dicts, and which one is taken.

use std::collections::{BTreeMap, BTreeSet};

use super::pickle::{Ref, Unpickled, Value};
use crate::files::set_keys::{KEYS, rank};

/// How many keys may lead to a state dict.
const DEEPEST: usize = 3;

/// A dictionary with tensors.
pub(super) struct Set {
    /// Where it is, as `key` or `key.key`; empty for the outermost.
    pub key: String,
    /// What the names of the tensors that are asked for begin with, where the user's key goes on behind the dictionary's.
    pub below: Option<String>,
    at: Ref,
}

impl Set {
    /// Its tensors by name.
    pub fn tensors<'a>(&self, contents: &'a Unpickled) -> Vec<(&'a str, Ref)> {
        tensors(contents, self.at)
    }
}

/// The set below `key`, or without one the usual; and the keys of the others.
///
/// # Errors
/// A sentence, if there is none.
pub(super) fn choose(
    contents: &Unpickled,
    key: Option<&str>,
) -> Result<(Set, Vec<String>), String> {
    let sets = state_dicts(contents);
    let mut keys: Vec<String> = sets.keys().cloned().collect();
    keys.sort_by_key(|key| rank(key));
    // What has no usual name is taken only where the outermost dictionary has no tensors.
    let named =
        keys.first().filter(|key| is_usual(key) || tensors(contents, contents.root).is_empty());
    let usual = named.map_or((String::new(), contents.root), |key| (key.clone(), sets[key]));
    let chosen = match key {
        None => Some(Set { key: usual.0, below: None, at: usual.1 }),
        // Of one dictionary alone the names tell what sets there are.
        Some(key) if keys.is_empty() => {
            Some(Set { key: usual.0, below: Some(key.to_owned()), at: usual.1 })
        }
        Some(key) => find_set(contents, key, usual),
    };
    let Some(chosen) = chosen.filter(|set| !set.tensors(contents).is_empty()) else {
        let names: Vec<&str> =
            named_in(contents, contents.root).iter().take(8).map(|e| e.0).collect();
        return Err(match key {
            Some(key) if !keys.is_empty() => {
                format!("has no weights below {key:?}; it has them below {keys:?}")
            }
            Some(key) => format!(
                "has no weights below {key:?}; its outermost dictionary has the keys {names:?}"
            ),
            None => format!(
                "no state dict found (looked at the outermost dictionary, which has the keys {names:?}, and below \
                 {KEYS:?}); save model.state_dict(), not the module"
            ),
        });
    };
    keys.retain(|key| *key != chosen.key);
    Ok((chosen, keys))
}

/// Dictionaries in the outermost one that are state dicts, by the keys that lead there: those that scripts usually
/// call so, and any other with at least half as many tensors as the largest.
fn state_dicts(contents: &Unpickled) -> BTreeMap<String, Ref> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::from([contents.root]);
    let mut level = vec![(String::new(), contents.root)];
    for _ in 0..DEEPEST {
        let mut next = BTreeMap::new();
        for (path, at) in level {
            for (key, inner) in named_in(contents, at) {
                // An optimiser's moments have the parameters' names too.
                let is_optimizer = key.starts_with("optim");
                let is_dictionary = matches!(contents.get(inner), Value::Dict(_));
                if is_dictionary && !is_optimizer && seen.insert(inner) {
                    next.insert(
                        [path.as_str(), key].join(".").trim_start_matches('.').to_owned(),
                        inner,
                    );
                }
            }
        }
        found.extend(next.clone());
        level = next.into_iter().collect();
    }
    let count = |at: &Ref| tensors(contents, *at).len();
    let largest = found.values().chain([&contents.root]).map(count).max().unwrap_or(0);
    found.retain(|key, at| match count(at) {
        0 => false,
        tensors => is_usual(key) || 2 * tensors >= largest,
    });
    found
}

/// Whether scripts usually call a set so.
fn is_usual(path: &str) -> bool {
    rank(path).iter().all(|place| *place < KEYS.len())
}

/// The set at `key`: a dictionary, or in a dictionary what begins with the rest of the key; in the `usual` one if none
/// of the key leads to a dictionary.
fn find_set(contents: &Unpickled, key: &str, usual: (String, Ref)) -> Option<Set> {
    let has = |at: Ref, start: &str| {
        let start = format!("{start}.");
        tensors(contents, at).iter().any(|(name, _)| name.starts_with(&start))
    };
    let whole = find(contents, contents.root, key).filter(|at| !tensors(contents, *at).is_empty());
    if let Some(at) = whole {
        return Some(Set { key: key.to_owned(), below: None, at });
    }
    let split = key.rmatch_indices('.').map(|(dot, _)| (&key[..dot], &key[dot + 1..]));
    let mut inside = split.filter_map(|(key, rest)| {
        let at = find(contents, contents.root, key).filter(|at| has(*at, rest))?;
        Some(Set { key: key.to_owned(), below: Some(rest.to_owned()), at })
    });
    let outermost = (String::new(), contents.root);
    let mut anywhere = [usual, outermost].into_iter().filter(|(_, at)| has(*at, key));
    inside.next().or_else(|| {
        let (at_key, at) = anywhere.next()?;
        Some(Set { key: at_key, below: Some(key.to_owned()), at })
    })
}

/// What is at `key` in a dictionary: an entry of that name, or one in the entry before a dot.
fn find(contents: &Unpickled, at: Ref, key: &str) -> Option<Ref> {
    let mut inner = key
        .match_indices('.')
        .filter_map(|(dot, _)| find(contents, entry(contents, at, &key[..dot])?, &key[dot + 1..]));
    entry(contents, at, key).or_else(|| inner.next())
}

/// The last value below a key: a later one replaces an earlier one.
fn entry(contents: &Unpickled, at: Ref, key: &str) -> Option<Ref> {
    let Value::Dict(entries) = contents.get(at) else { return None };
    let found = entries.iter().rev().find(|(name, _)| contents.text(*name) == Some(key));
    found.map(|(_, value)| *value)
}

/// Entries of a dictionary with text keys; none for another value.
fn named_in(contents: &Unpickled, at: Ref) -> Vec<(&str, Ref)> {
    let Value::Dict(entries) = contents.get(at) else { return Vec::new() };
    let text = |(key, value): &(Ref, Ref)| match contents.get(*key) {
        Value::Text(name) => Some((&**name, *value)),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

fn tensors(contents: &Unpickled, at: Ref) -> Vec<(&str, Ref)> {
    let mut entries = named_in(contents, at);
    entries
        .retain(|(_, value)| matches!(contents.get(*value), Value::Tensor(_) | Value::Foreign(_)));
    entries
}
