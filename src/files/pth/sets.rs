//! Which of a checkpoint's dictionaries are state dicts, and which one is taken.

use super::pickle::{Ref, Unpickled, Value};

/// Keys below which training scripts put the state dict, the first that there is wins: the trained weights, then their
/// moving average.
const KEYS: [&str; 12] = [
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
    "teacher",
    "student",
    "encoder",
];

/// A dictionary with tensors.
pub(super) struct Set {
    /// Where it is, as `key` or `key.key`; empty for the outermost.
    pub key: String,
    at: Ref,
}

impl Set {
    /// Its tensors by name.
    pub fn tensors<'a>(&self, contents: &'a Unpickled) -> Vec<(&'a str, Ref)> {
        tensors(contents, self.at)
    }
}

/// The set below `key`, or without one the usual; and the keys of the others that scripts usually have.
///
/// # Errors
/// A sentence, if there is none.
pub(super) fn choose(
    contents: &Unpickled,
    key: Option<&str>,
) -> Result<(Set, Vec<String>), String> {
    let usual: Vec<Set> = KEYS.iter().filter_map(|key| nested(contents, key)).collect();
    let mut keys: Vec<String> = usual.iter().map(|set| set.key.clone()).collect();
    let outermost = Set { key: String::new(), at: contents.root };
    let chosen = match key {
        Some(key) => find(contents, key),
        None => usual.into_iter().next().or(Some(outermost)),
    };
    let Some(chosen) = chosen.filter(|set| !set.tensors(contents).is_empty()) else {
        let names: Vec<&str> = named(contents, contents.root).iter().take(8).map(|e| e.0).collect();
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

/// The set below `key` of the outermost dictionary, or below a usual key in there.
fn nested(contents: &Unpickled, key: &str) -> Option<Set> {
    let set = find(contents, key)?;
    if !set.tensors(contents).is_empty() {
        return Some(set);
    }
    let inner = KEYS.iter().find_map(|inner| entry(contents, set.at, inner).map(|at| (inner, at)));
    let (inner, at) = inner?;
    let set = Set { key: format!("{key}.{inner}"), at };
    (!set.tensors(contents).is_empty()).then_some(set)
}

/// The dictionary at `key`: an entry of the outermost, or one below it after a dot.
fn find(contents: &Unpickled, key: &str) -> Option<Set> {
    let at = entry(contents, contents.root, key).or_else(|| {
        let (outer, inner) = key.split_once('.')?;
        entry(contents, entry(contents, contents.root, outer)?, inner)
    });
    Some(Set { key: key.to_owned(), at: at? })
}

/// The last value below a key: a later one replaces an earlier one.
fn entry(contents: &Unpickled, at: Ref, key: &str) -> Option<Ref> {
    let Value::Dict(entries) = contents.get(at) else { return None };
    let found = entries.iter().rev().find(|(name, _)| contents.text(*name) == Some(key));
    found.map(|(_, value)| *value)
}

/// Entries of a dictionary with text keys; none for another value.
fn named(contents: &Unpickled, at: Ref) -> Vec<(&str, Ref)> {
    let Value::Dict(entries) = contents.get(at) else { return Vec::new() };
    let text = |(key, value): &(Ref, Ref)| match contents.get(*key) {
        Value::Text(name) => Some((&**name, *value)),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

fn tensors(contents: &Unpickled, at: Ref) -> Vec<(&str, Ref)> {
    let mut entries = named(contents, at);
    entries
        .retain(|(_, value)| matches!(contents.get(*value), Value::Tensor(_) | Value::Foreign(_)));
    entries
}
