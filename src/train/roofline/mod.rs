//! What a training step would take on a graphics card that is not there: bytes and FLOPs of every launch of its
//! recording, held against the card's rates. The [floor](Prediction::floor) of a launch is with peak rates; its
//! [prediction](Prediction::predicted) takes what the launch itself tells to keep it from them, and [`ASSUMPTIONS`].
//!
//! Every launch reads from memory what the one before it wrote, even where a cache still holds it. Uploading pictures and
//! submitting are not in it.

mod assumptions;
mod card;
mod instructions;
mod predict;
mod sums;
mod tile;
mod tilings;
mod traffic;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Serialize;

pub use assumptions::{ASSUMPTIONS, Assumption};
use assumptions::{BANDWIDTH, LAUNCH};
pub use card::Card;
pub use predict::{Bound, Cause, Prediction};
pub use sums::{Alike, KernelSum};
pub use tilings::ChosenTile;

use super::estimate::Request;
use crate::config::ModelConfig;
use crate::gpu::Anatomy;
use crate::kernels::{KernelKey, KernelTarget};
use crate::program::LaunchCounts;

/// A step on a card, by count. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roofline {
    /// The card.
    pub card: Card,
    /// What the step was recorded for.
    #[serde(skip)]
    pub target: KernelTarget,
    /// Its products and their tiles.
    pub tiles: Vec<ChosenTile>,
    /// The launches of one batch, then those of the update.
    pub launches: Vec<Launch>,
    /// Gradients that are zeroed before a step.
    pub cleared: Cleared,
    /// FLOPs of a step.
    pub flops: u64,
    /// Bytes that a step must move, of each launch each once.
    pub bytes: u64,
    /// A step with the card's peak rates.
    pub floor: f64,
    /// A step as predicted.
    pub predicted: f64,
}

/// A launch of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Launch {
    /// Shader's name.
    pub kernel: &'static str,
    /// The tensor that it writes first, with the part of the model.
    pub computes: String,
    /// Extents of the tensors that it reads → writes.
    pub sizes: String,
    /// How often a step has it.
    pub times: usize,
    /// Workgroups.
    pub groups: u32,
    /// Invocations of a workgroup.
    pub threads: u32,
    /// Matrix FLOPs.
    pub flops: u64,
    /// Those of a byte that it must move.
    pub intensity: f64,
    /// Its time.
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// What is zeroed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cleared {
    /// Bytes.
    pub bytes: u64,
    /// With peak bandwidth.
    pub floor: f64,
    /// As predicted.
    pub predicted: f64,
}

impl Roofline {
    /// Of the step that `request` says, in bindings of up to `max_binding` bytes, with products divided as is predicted
    /// to be best.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an invalid model.
    pub fn new(
        card: Card,
        config: &ModelConfig,
        request: Request,
        max_binding: u64,
    ) -> crate::Result<Self> {
        config.validate()?;
        let (layout, step) = request.step(config, max_binding);
        let mut anatomies = Anatomies::default();
        let target = card.target();
        let shapes = step.record_batch(&target, &layout).shapes().clone();
        let target = tilings::choose(&target, &shapes, |product| {
            product.launches().map(|launch| anatomies.predict(&card, &launch).predicted).sum()
        });
        let programs = [step.record_batch(&target, &layout), step.record_update(&target, &layout)];
        let mut launches = Vec::new();
        for (program, times) in programs.iter().zip([request.grad_accum, 1]) {
            launches.extend(program.launches().map(|counts| {
                let prediction = anatomies.predict(&card, &counts);
                Launch {
                    kernel: counts.kernel.shader,
                    threads: anatomies.of(&counts.kernel).threads,
                    computes: counts.computes,
                    sizes: counts.sizes,
                    times,
                    groups: counts.groups,
                    flops: counts.flops,
                    intensity: counts.flops as f64 / prediction.bytes.max(1) as f64,
                    prediction,
                }
            }));
        }
        let [batch, _] = &programs;
        let cleared = Cleared::new(&card, batch.cleared_bytes());
        let sum = |of: fn(&Launch) -> f64| -> f64 {
            launches.iter().map(|launch| launch.times as f64 * of(launch)).sum()
        };
        let count = |of: fn(&Launch) -> u64| -> u64 {
            launches.iter().map(|launch| launch.times as u64 * of(launch)).sum()
        };
        Ok(Self {
            tiles: shapes.products.iter().map(|&shape| ChosenTile::of(&target, shape)).collect(),
            flops: count(|launch| launch.flops),
            bytes: count(|launch| launch.prediction.bytes) + cleared.bytes,
            floor: sum(|launch| launch.prediction.floor) + cleared.floor,
            predicted: sum(|launch| launch.prediction.predicted) + cleared.predicted,
            card,
            target,
            launches,
            cleared,
        })
    }
}

impl Cleared {
    fn new(card: &Card, bytes: u64) -> Self {
        let peak = bytes as f64 / card.bandwidth;
        let [floor, predicted] = [peak, peak / BANDWIDTH.value].map(|time| time + LAUNCH.value);
        Self { bytes, floor, predicted }
    }
}

/// What was read off each kernel's text.
#[derive(Default)]
struct Anatomies(HashMap<KernelKey, Anatomy>);

impl Anatomies {
    fn of(&mut self, key: &KernelKey) -> &Anatomy {
        self.0.entry(key.clone()).or_insert_with(|| Anatomy::of(key))
    }

    fn predict(&mut self, card: &Card, launch: &LaunchCounts) -> Prediction {
        Prediction::new(card, launch, self.of(&launch.kernel))
    }
}
