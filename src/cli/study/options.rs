//! Options of a command as a study file has them, and the words that they become.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What `webmae ablate` gives each run itself, or what no run of a study has.
const RESERVED: [&str; 6] = ["data", "seed", "out", "weights", "resume", "adapter"];
/// Options that say the same in two ways: who gives one takes back the other.
const RIVALS: [[&str; 2]; 3] =
    [["epochs", "steps"], ["lr", "blr"], ["warmup-epochs", "warmup-steps"]];

/// Options by their names, without the dashes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, toml::Value>")]
pub(crate) struct Options(BTreeMap<String, Value>);

/// What an option is given.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// Nothing: it is there, or not.
    Switch(bool),
    Text(String),
}

impl Options {
    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.0.keys().cloned()
    }

    /// With those of `over` instead of one's own.
    pub(crate) fn overlaid(mut self, over: &Self) -> Self {
        for (key, value) in &over.0 {
            for rivals in RIVALS.iter().filter(|rivals| rivals.contains(&key.as_str())) {
                self.0.retain(|own, _| !rivals.contains(&own.as_str()));
            }
            self.0.insert(key.clone(), value.clone());
        }
        self
    }

    /// Only those whose name `is_kept`.
    pub(crate) fn filtered(mut self, is_kept: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|key, _| is_kept(key));
        self
    }

    /// Words of a command line, ordered by name.
    pub(crate) fn words(&self) -> Vec<String> {
        let word = |(key, value): (&String, &Value)| match value {
            Value::Switch(true) => Some(format!("--{key}")),
            Value::Switch(false) => None,
            Value::Text(text) => Some(format!("--{key}={text}")),
        };
        self.0.iter().filter_map(word).collect()
    }
}

impl TryFrom<BTreeMap<String, toml::Value>> for Options {
    type Error = String;

    fn try_from(table: BTreeMap<String, toml::Value>) -> Result<Self, String> {
        let option = |(key, value): (String, toml::Value)| {
            if RESERVED.contains(&key.as_str()) {
                return Err(format!("`{key}` is no option of a study: it is given to each run"));
            }
            let value = match &value {
                toml::Value::Boolean(is_on) => Value::Switch(*is_on),
                toml::Value::Array(items) => {
                    let texts: Option<Vec<String>> = items.iter().map(text).collect();
                    Value::Text(texts.ok_or_else(|| not_plain(&key))?.join(","))
                }
                other => Value::Text(text(other).ok_or_else(|| not_plain(&key))?),
            };
            Ok((key, value))
        };
        table.into_iter().map(option).collect::<Result<_, _>>().map(Self)
    }
}

/// A number or a text, as one writes it on a command line.
fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn not_plain(key: &str) -> String {
    format!("`{key}` is not a text, a number, true, false, or a list of texts or numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(toml: &str) -> Options {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn options_become_words() {
        let words = options(
            "preset = 'tiny'\nmask-ratio = 0.75\nepochs = 100\nblr = 1.5e-4\nno-flip = true\n\
             strict = false\nmean = [0.5, 0.5]\nmin-lr = -1.0",
        );
        let expected = [
            "--blr=0.00015",
            "--epochs=100",
            "--mask-ratio=0.75",
            "--mean=0.5,0.5",
            "--min-lr=-1",
            "--no-flip",
            "--preset=tiny",
        ];
        assert_eq!(words.words(), expected);
    }

    #[test]
    fn what_is_laid_over_wins_and_takes_back_its_rival() {
        let base = options("epochs = 100\nlr = 0.1\ndim = 64\nno-flip = true");
        let over = options("steps = 5\nblr = 0.2\nno-flip = false");
        let words = base.overlaid(&over).words();
        assert_eq!(words, ["--blr=0.2", "--dim=64", "--steps=5"]);
    }

    #[test]
    fn what_is_given_elsewhere_and_what_is_not_plain_is_refused() {
        let refusal = |toml: &str| toml::from_str::<Options>(toml).unwrap_err().to_string();
        for key in RESERVED {
            assert!(refusal(&format!("{key} = 'x'")).contains(&format!("`{key}`")), "{key}");
        }
        for toml in ["dim = {}", "dim = 1979-05-27", "dim = [[1]]", "dim = [true]"] {
            assert!(refusal(toml).contains("`dim` is not a text, a number"), "{toml}");
        }
    }
}
