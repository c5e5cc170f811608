//! What follows from a recipe, its data and its device.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schedule::Schedule;
use crate::data::Normalization;

/// Numbers that follow from a recipe, its data and its device; kept in `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// This crate's version.
    pub webmae: String,
    /// Adapter and driver.
    pub adapter: String,
    /// What the training data is.
    pub train_data: String,
    /// Where held-out data comes from.
    pub held_out_data: String,
    /// Number of training pictures.
    pub train_images: usize,
    /// Number of held-out pictures that are measured.
    pub held_out_images: usize,
    /// Pixel statistics in use.
    pub normalization: Normalization,
    /// Patches per image.
    pub num_patches: usize,
    /// Visible patches per image.
    pub len_keep: usize,
    /// Masked patches per image.
    pub num_masked: usize,
    /// Tokens in the encoder.
    pub encoder_tokens: usize,
    /// Tokens in the decoder.
    pub decoder_tokens: usize,
    /// Trained values.
    pub parameters: usize,
    /// Values that are not trained.
    #[serde(default)]
    pub frozen_parameters: usize,
    /// Images per optimiser step.
    pub effective_batch: usize,
    /// Optimiser steps per epoch.
    pub steps_per_epoch: u64,
    /// The schedule in steps.
    pub schedule: Schedule,
    /// Matrix FLOPs of one optimiser step.
    pub flops_per_step: u64,
    /// Bytes on the device.
    pub device_bytes: u64,
    /// Kernel launches per optimiser step.
    pub dispatches_per_step: usize,
    /// What was decided about the data.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Derived {
    /// What is not the same in `now`, as `name was …, is …`, but for the device and its share of the numbers.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let own = |derived: &Self| serde_json::to_value(derived).expect("numbers and texts");
        let mut found = Vec::new();
        differences("", &own(self), &own(now), &mut found);
        found
    }
}

/// Numbers of the device, and what was noted.
const NOT_COMPARED: [&str; 4] = ["adapter", "device_bytes", "dispatches_per_step", "notes"];

fn differences(name: &str, before: &Value, now: &Value, found: &mut Vec<String>) {
    if NOT_COMPARED.contains(&name) {
        return;
    }
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (key, value) in now {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                differences(&path, before.get(key).unwrap_or(&Value::Null), value, found);
            }
        }
        _ if before != now => found.push(format!("{name} was {before}, is {now}")),
        _ => {}
    }
}
