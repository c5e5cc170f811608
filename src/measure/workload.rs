//! The reference workloads.

use serde::{Deserialize, Serialize};

use crate::kernels::Processor;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Forward pass and loss.
    Forward,
    /// Forward, backward and update.
    Train,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Train];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
        }
    }
}

/// A reference workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// Preset of the model.
    pub preset: &'static str,
    /// Images in a forward pass.
    forward_batch: usize,
    /// Images in a training step, on a software driver and on a GPU.
    train_batch: [usize; 2],
}

/// The reference workloads.
pub const WORKLOADS: [Workload; 4] = [
    Workload { name: "W1", preset: "tiny", forward_batch: 64, train_batch: [64, 64] },
    Workload { name: "W2", preset: "small", forward_batch: 16, train_batch: [16, 16] },
    Workload { name: "W3", preset: "vit-b", forward_batch: 1, train_batch: [4, 64] },
    Workload { name: "W4", preset: "plain", forward_batch: 8, train_batch: [8, 8] },
];

impl Workload {
    /// The workload called `name`, in any case.
    pub fn named(name: &str) -> Option<Self> {
        WORKLOADS.into_iter().find(|workload| workload.name.eq_ignore_ascii_case(name))
    }

    /// Images per batch on a processor of a kind.
    pub fn batch_size(&self, mode: Mode, processor: Processor) -> usize {
        match mode {
            Mode::Forward => self.forward_batch,
            Mode::Train => self.train_batch[usize::from(processor == Processor::Gpu)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    #[test]
    fn workloads_are_presets() {
        for workload in WORKLOADS {
            ModelConfig::preset(workload.preset).unwrap();
        }
    }
}
