//! Checkpoints: one safetensors file with parameters, moments and everything else that a run needs
//! to go on bit for bit, on any platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::config::ModelConfig;
#[cfg(feature = "native")]
use crate::data::fingerprint::Fingerprint;
use crate::data::{Cursor, Normalization};
use crate::error::{Error, Result};
use crate::files::safetensors;
use crate::kernels::Precision;
use crate::ops::optimizer::{STATE_WORDS, State};
use crate::tensor::{TensorMap, by_name};
use crate::weights::checkpoint::{AVERAGE, CHECKPOINT_ENTRY, PARAM};
use crate::weights::require_finite;

/// Prefixes of the tensors' names: of parameters, first and second moments, moving averages.
pub const ROLES: [&str; 4] = [PARAM, "moment1/", SECOND_MOMENT, AVERAGE];
const SECOND_MOMENT: &str = "moment2/";
/// Prefix of everything that belongs to the probe beside a run.
const PROBE: &str = "probe/";

/// What a checkpoint says besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The model.
    pub model: ModelConfig,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Optimiser steps done.
    pub step: u64,
    /// The batch that comes next.
    pub cursor: Cursor,
    /// Words of the optimiser's [`State`] but the last.
    pub optimizer_state: [u32; STATE_WORDS - 1],
    /// The last, which only mixed precision has: the factor of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f32>,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The run's recipe, seeds included.
    pub recipe: Recipe,
    /// What the run learns from; older files do not say. In a browser a run learns from what the visitor chooses.
    #[cfg(feature = "native")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Fingerprint>,
    /// What it is measured with; older files do not say.
    #[cfg(feature = "native")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Fingerprint>,
    /// The same of the probe beside the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<Meta>>,
}

impl Meta {
    /// The description in a file's metadata; `None` if the file is no checkpoint.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if it cannot be understood.
    pub fn read(metadata: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let Some(text) = metadata.get(CHECKPOINT_ENTRY) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|e| Error::BadWeights {
            problem: format!("the checkpoint's description cannot be read: {e}"),
        })
    }

    /// The description in a checkpoint's metadata.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if the file is none, or it cannot be understood.
    pub fn require(metadata: &BTreeMap<String, String>) -> Result<Self> {
        let problem = "these are weights, but no checkpoint of a training run";
        Self::read(metadata)?.ok_or_else(|| bad(problem.to_owned()))
    }

    /// The file's text entries.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if a number of it has no JSON form.
    pub fn entries(&self) -> Result<BTreeMap<String, String>> {
        let text = serde_json::to_string(self)
            .map_err(|e| Error::BadWeights { problem: format!("its description: {e}") })?;
        Ok(BTreeMap::from([(CHECKPOINT_ENTRY.to_owned(), text)]))
    }

    /// The optimiser's state.
    pub fn state(&self) -> State {
        let mut words: [u32; STATE_WORDS] = bytemuck::cast(State::default());
        words[..STATE_WORDS - 1].copy_from_slice(&self.optimizer_state);
        let state: State = bytemuck::cast(words);
        State { loss_scale: self.loss_scale.unwrap_or(state.loss_scale), ..state }
    }

    /// [`Self::optimizer_state`] and [`Self::loss_scale`] of `state` in a run of `recipe`.
    pub fn words_of(state: State, recipe: &Recipe) -> ([u32; STATE_WORDS - 1], Option<f32>) {
        let words: [u32; STATE_WORDS] = bytemuck::cast(state);
        let first = std::array::from_fn(|i| words[i]);
        (first, (recipe.precision == Precision::F16).then_some(state.loss_scale))
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Everything that is not a tensor.
    pub meta: Meta,
    /// Parameters by internal name.
    pub params: TensorMap,
    /// AdamW's first moments.
    pub moment1: TensorMap,
    /// AdamW's second moments.
    pub moment2: TensorMap,
    /// Moving averages of the trained parameters; empty where the run keeps none.
    pub average: TensorMap,
    /// The probe beside the run, which has a description of its own.
    pub probe: Option<Box<Checkpoint>>,
}

impl Checkpoint {
    /// The file's content.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if the format cannot hold it (a header beyond its size limit).
    pub fn to_bytes(mut self) -> Result<Vec<u8>> {
        self.meta.probe = self.probe.as_ref().map(|probe| Box::new(probe.meta.clone()));
        let metadata = self.meta.entries()?;
        let tensors = self.into_tensors();
        safetensors::to_bytes(&tensors, &metadata, safetensors::FloatType::F32)
    }

    /// The first tensor with which no run could go on, see [`require_usable`].
    #[cfg(feature = "native")]
    pub(super) fn unusable(&self) -> Option<String> {
        let maps = [&self.params, &self.moment1, &self.moment2, &self.average];
        let tensors = ROLES.iter().zip(maps).flat_map(|(role, map)| {
            map.iter().map(move |(name, tensor)| (format!("{role}{name}"), tensor))
        });
        let mut bad = tensors.filter(|(name, tensor)| require_usable(name, &tensor.data).is_err());
        let own = bad.next().map(|(name, _)| name);
        own.or_else(|| self.probe.as_ref()?.unusable().map(|name| format!("{PROBE}{name}")))
    }

    fn into_tensors(self) -> TensorMap {
        let mut tensors = TensorMap::new();
        let maps = [self.params, self.moment1, self.moment2, self.average];
        for (role, map) in ROLES.iter().zip(maps) {
            tensors.extend(map.into_iter().map(|(name, tensor)| (format!("{role}{name}"), tensor)));
        }
        let probe = self.probe.map(|probe| probe.into_tensors()).unwrap_or_default();
        tensors.extend(probe.into_iter().map(|(name, tensor)| (format!("{PROBE}{name}"), tensor)));
        tensors
    }

    fn from_tensors(mut meta: Meta, mut tensors: TensorMap) -> Result<Self> {
        let probe = meta.probe.take().map(|meta| {
            let own = tensors.extract_if(.., |name, _| name.starts_with(PROBE));
            let own = by_name(own.map(|(name, tensor)| (name[PROBE.len()..].to_owned(), tensor)));
            Self::from_tensors(*meta, own).map(Box::new)
        });
        let probe = probe.transpose()?;
        let mut maps = [const { TensorMap::new() }; ROLES.len()];
        for (name, tensor) in tensors {
            let role = ROLES.iter().position(|role| name.starts_with(role));
            let role = role.ok_or_else(|| bad(format!("a checkpoint has no tensor {name}")))?;
            maps[role].insert(name[ROLES[role].len()..].to_owned(), tensor);
        }
        let [params, moment1, moment2, average] = maps;
        Ok(Self { meta, params, moment1, moment2, average, probe })
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if it is broken or no checkpoint, or a parameter or a moment is no number to go on with.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let contents = safetensors::from_bytes(bytes)?;
        let meta = Meta::require(&contents.metadata)?;
        for (name, tensor) in &contents.tensors {
            require_usable(name, &tensor.data)?;
        }
        Self::from_tensors(meta, contents.tensors)
    }
}

/// Checks that a run can go on with the values of a checkpoint's tensor `name`.
///
/// # Errors
/// [`Error::BadWeights`] if one is not finite, or a mean of squares is below 0.
pub fn require_usable(name: &str, values: &[f32]) -> Result<()> {
    require_finite(name, values)?;
    if name.contains(SECOND_MOMENT) && values.iter().any(|value| *value < 0.0) {
        let problem = format!("{name} holds a mean of squares below 0: the file is damaged");
        return Err(bad(problem));
    }
    Ok(())
}

fn bad(problem: String) -> Error {
    Error::BadWeights { problem }
}
