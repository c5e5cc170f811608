//! Launches of a step taken together: by kernel, and those that are alike.

use std::collections::BTreeMap;

use serde::Serialize;

use super::predict::{Bound, Cause};
use super::{Launch, Roofline};

/// All launches of a kernel in a step. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelSum {
    /// Shader's name.
    pub kernel: &'static str,
    /// Launches.
    pub launches: usize,
    /// Matrix FLOPs.
    pub flops: u64,
    /// Bytes that they must move, of each launch each once.
    pub bytes: u64,
    /// With the card's peak rates.
    pub floor: f64,
    /// As predicted.
    pub predicted: f64,
}

/// Launches of a kernel on the same sizes, which wait for the same. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alike {
    /// Shader's name.
    pub kernel: &'static str,
    /// Extents of the tensors that they read → write.
    pub sizes: String,
    /// Launches in a step.
    pub launches: usize,
    /// With the card's peak rates, together.
    pub floor: f64,
    /// As predicted, together.
    pub predicted: f64,
    /// What they wait for.
    pub bound: Bound,
    /// What keeps each from its floor, with its factor, the largest first.
    pub causes: Vec<(Cause, f64)>,
}

impl Alike {
    /// How many times their floor they take.
    pub fn factor(&self) -> f64 {
        self.predicted / self.floor
    }
}

impl Roofline {
    /// Every kernel of the step, the one with the longest predicted time first.
    pub fn kernels(&self) -> Vec<KernelSum> {
        let mut sums: BTreeMap<&str, KernelSum> = BTreeMap::new();
        for Launch { kernel, times, flops, prediction, .. } in &self.launches {
            let sum = sums.entry(kernel).or_insert(KernelSum {
                kernel,
                launches: 0,
                flops: 0,
                bytes: 0,
                floor: 0.0,
                predicted: 0.0,
            });
            sum.launches += times;
            sum.flops += *times as u64 * flops;
            sum.bytes += *times as u64 * prediction.bytes;
            sum.floor += *times as f64 * prediction.floor;
            sum.predicted += *times as f64 * prediction.predicted;
        }
        let mut sums: Vec<KernelSum> = sums.into_values().collect();
        sums.sort_by(|a, b| b.predicted.total_cmp(&a.predicted));
        sums
    }

    /// Launches that take more than `factor` times their floor, those alike together, the longest time first.
    pub fn above(&self, factor: f64) -> Vec<Alike> {
        let mut all: Vec<Alike> = Vec::new();
        let above = self.launches.iter().filter(|launch| launch.prediction.factor() > factor);
        for Launch { kernel, sizes, times, prediction, .. } in above {
            let same = all.iter_mut().find(|other| {
                other.kernel == *kernel
                    && other.sizes == *sizes
                    && other.causes == prediction.causes
            });
            let alike = match same {
                Some(alike) => alike,
                None => all.push_mut(Alike {
                    kernel,
                    sizes: sizes.clone(),
                    launches: 0,
                    floor: 0.0,
                    predicted: 0.0,
                    bound: prediction.bound,
                    causes: prediction.causes.clone(),
                }),
            };
            alike.launches += times;
            alike.floor += *times as f64 * prediction.floor;
            alike.predicted += *times as f64 * prediction.predicted;
        }
        all.sort_by(|a, b| b.predicted.total_cmp(&a.predicted));
        all
    }
}
