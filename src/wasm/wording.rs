//! Errors in the words of the package: settings by the names of its options.

use crate::setting::{Setting, Wording};

/// Settings by the package's options; in plain words those of a model, and what no option sets.
pub(super) struct Options;

impl Wording for Options {
    fn name(&self, setting: Setting) -> String {
        let option = match setting {
            Setting::Preset => "preset",
            Setting::BatchSize => "batchSize",
            Setting::GradAccum => "gradAccum",
            Setting::Recompute => "recompute",
            Setting::Precision => "precision",
            Setting::Length => "steps",
            Setting::Warmup => "warmupSteps",
            Setting::Lr => "lr",
            Setting::MinLr => "minLr",
            Setting::WeightDecay => "weightDecay",
            Setting::Beta1 | Setting::Beta2 => "betas",
            Setting::ClipNorm => "clipGrad",
            Setting::Ema => "ema",
            Setting::Crop => "crop",
            Setting::Flip => "flip",
            Setting::Jitter => "colorJitter",
            Setting::Pool => "pool",
            other => return other.name().replace(['_', '.'], " "),
        };
        option.to_owned()
    }
}
