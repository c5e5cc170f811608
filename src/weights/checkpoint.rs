//! What the header of a checkpoint says about the model in it; the rest belongs to the run that wrote it.

use serde::Deserialize;

use super::header::{Metadata, entry};
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::Result;

/// Entry of the header that describes a checkpoint, as JSON.
pub const CHECKPOINT_ENTRY: &str = "webmae.checkpoint";
/// Prefix of the parameters' names in a checkpoint.
pub const PARAM: &str = "param/";
/// Prefix of the names of their moving averages.
pub const AVERAGE: &str = "ema/";

/// The part of a checkpoint's description that concerns its model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckpointHead {
    /// The model.
    pub model: ModelConfig,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Optimiser steps done.
    pub step: u64,
}

impl CheckpointHead {
    /// Reads it from a header; `None` if the file is no checkpoint.
    ///
    /// # Errors
    /// [`Error::BadWeights`](crate::Error::BadWeights) if the entry cannot be read.
    pub fn read(metadata: &Metadata) -> Result<Option<Self>> {
        entry(metadata, CHECKPOINT_ENTRY)
    }
}
