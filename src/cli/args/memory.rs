//! What a training step keeps on the device, shared by the commands that record one.

use crate::kernels::Precision;
use crate::train::recipe::Recipe;

/// What a step keeps on the device.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct MemoryArgs {
    /// Keep only the inputs of transformer blocks and compute what lies inside again for the backward
    /// pass: much less memory, a fifth more work, the same results; a resumed run may change it
    #[arg(long, value_name = "BOOL", help_heading = "Memory")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    recompute: Option<bool>,
    /// How weights and activations are kept in the computation, which is in f32 always, like parameters,
    /// their gradients and the optimiser; f16 needs an adapter with it (`webmae info`), takes about half the
    /// memory of activations, and scales the loss so that small gradients do not vanish; a resumed run may
    /// change it [default: f32]
    #[arg(long, value_enum, value_name = "f32|f16", help_heading = "Memory")]
    precision: Option<PrecisionArg>,
}

/// A precision as it is written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum PrecisionArg {
    /// 32 bits
    F32,
    /// 16 bits: half the memory, 11 significant bits, nothing beyond ±65,504
    F16,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::F16 => Self::F16,
        }
    }
}

impl MemoryArgs {
    /// Changes `recipe` as they say.
    pub(crate) fn apply(&self, recipe: &mut Recipe) {
        recipe.recompute = self.recompute(recipe.recompute);
        recipe.precision = self.precision(recipe.precision);
    }

    /// Whether to recompute; `usual` where it is not said.
    pub(crate) fn recompute(&self, usual: bool) -> bool {
        self.recompute.unwrap_or(usual)
    }

    /// The precision; `usual` where it is not said.
    pub(crate) fn precision(&self, usual: Precision) -> Precision {
        self.precision.map_or(usual, Precision::from)
    }
}
