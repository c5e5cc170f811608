//! Whether a run that goes on has the pictures that it began with.

use super::checkpoint::{Checkpoint, Meta};
use crate::data::Split;
use crate::data::fingerprint::Fingerprint;
use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::setting::Setting;

/// Which pictures a run has.
#[derive(Debug, Clone, Copy)]
pub struct Pictures {
    train: Fingerprint,
    held_out: Fingerprint,
}

impl Pictures {
    /// Those of `split`.
    pub fn of(split: &Split) -> Self {
        let [train, held_out] =
            [&split.train, &split.held_out].map(|source| Fingerprint::of(source.as_ref()));
        Self { train, held_out }
    }

    /// Has a checkpoint say so.
    pub fn describe(&self, meta: &mut Meta) {
        (meta.data, meta.held_out) = (Some(self.train), Some(self.held_out));
    }

    /// What is no longer as the checkpoint says that the run goes on from, one line each; `setting` names the data.
    ///
    /// # Errors
    /// [`Error::Config`] if anything is and the run is `strict`.
    pub fn changes(
        &self,
        resumed: Option<&Checkpoint>,
        strict: bool,
        setting: Setting,
    ) -> Result<Vec<String>> {
        let Some(Checkpoint { meta, .. }) = resumed else { return Ok(Vec::new()) };
        let change = |before: Option<Fingerprint>, now, part| before?.change(now, part);
        let train = change(meta.data, &self.train, "training");
        let held_out = change(meta.held_out, &self.held_out, "held-out");
        let changes: Vec<String> = train.into_iter().chain(held_out).collect();
        if changes.is_empty() || !strict {
            return Ok(changes);
        }
        Err(Error::Config {
            setting,
            problem: format!("{}, and the run is strict", changes.join("; ")),
            remedies: vec![Remedy::off(Setting::Strict)],
        })
    }
}
