//! What to try about an error, kept apart from the words for it.

use std::fmt;

use crate::setting::{Setting, Wording};

/// One way out of an error: changes that are made together.
#[derive(Debug, Clone, PartialEq)]
pub struct Remedy {
    /// The changes, at least one.
    pub changes: Vec<Change>,
    /// What they bring, where that is no matter of course.
    pub effect: Option<String>,
}

/// A change of one setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// To this value.
    Set(Setting, String),
    /// Switched on.
    On(Setting),
    /// Switched off.
    Off(Setting),
    /// To a smaller value.
    Smaller(Setting),
    /// To a larger value.
    Larger(Setting),
}

impl Remedy {
    /// Gives `setting` a value.
    pub fn set(setting: Setting, value: impl fmt::Display) -> Self {
        Change::Set(setting, value.to_string()).into()
    }

    /// Switches `setting` on.
    pub fn on(setting: Setting) -> Self {
        Change::On(setting).into()
    }

    /// Switches `setting` off.
    pub fn off(setting: Setting) -> Self {
        Change::Off(setting).into()
    }

    /// Makes `setting` smaller.
    pub fn smaller(setting: Setting) -> Self {
        Change::Smaller(setting).into()
    }

    /// Makes `setting` larger.
    pub fn larger(setting: Setting) -> Self {
        Change::Larger(setting).into()
    }

    /// Both together, with the effect of the first.
    pub fn and(mut self, other: Self) -> Self {
        self.changes.extend(other.changes);
        self
    }

    /// With more batches a step, so that a smaller batch does not change the training.
    pub fn with_more_batches(self) -> Self {
        self.and(Self::larger(Setting::GradAccum)).giving("the effective batch stays")
    }

    /// With what it brings.
    pub fn giving(self, effect: impl Into<String>) -> Self {
        Self { effect: Some(effect.into()), ..self }
    }

    fn worded(&self, words: &dyn Wording) -> String {
        let changes: Vec<String> = self.changes.iter().map(|change| change.worded(words)).collect();
        let changes = listed(&changes, " and ");
        match &self.effect {
            Some(effect) => format!("{changes} ({effect})"),
            None => changes,
        }
    }
}

impl From<Change> for Remedy {
    fn from(change: Change) -> Self {
        Self { changes: vec![change], effect: None }
    }
}

impl Change {
    fn worded(&self, words: &dyn Wording) -> String {
        match self {
            Self::Set(setting, value) => format!("{} {value}", words.name(*setting)),
            Self::On(setting) => words.name(*setting),
            Self::Off(setting) => words.off(*setting),
            Self::Smaller(setting) => format!("a smaller {}", words.name(*setting)),
            Self::Larger(setting) => format!("a larger {}", words.name(*setting)),
        }
    }
}

/// The end of a message that says what to try; nothing without remedies.
pub(crate) fn advice(remedies: &[Remedy], words: &dyn Wording) -> String {
    let remedies: Vec<String> = remedies.iter().map(|remedy| remedy.worded(words)).collect();
    if remedies.is_empty() {
        String::new()
    } else {
        format!("; try {}", listed(&remedies, ", or "))
    }
}

/// The items with commas between them, and `last` before the last one.
fn listed(items: &[String], last: &str) -> String {
    match items {
        [others @ .., item] if !others.is_empty() => format!("{}{last}{item}", others.join(", ")),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::FieldNames;

    #[test]
    fn remedies_are_alternatives_and_their_changes_belong_together() {
        let smaller = Remedy::set(Setting::BatchSize, 12)
            .and(Remedy::set(Setting::GradAccum, 6))
            .giving("the largest batch that fits");
        let plain = Remedy::set(Setting::Crop, "none")
            .and(Remedy::off(Setting::Flip))
            .and(Remedy::off(Setting::Jitter));
        let remedies = [smaller, Remedy::on(Setting::Recompute), plain];
        assert_eq!(
            advice(&remedies, &FieldNames),
            "; try batch_size 12 and grad_accum 6 (the largest batch that fits), recompute, or crop none, \
             no flip and no jitter"
        );
        assert_eq!(advice(&remedies[1..2], &FieldNames), "; try recompute");
        assert_eq!(advice(&[], &FieldNames), "");
    }
}
