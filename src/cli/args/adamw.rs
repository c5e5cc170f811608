//! AdamW's options.

use super::ema::{EmaArg, parse_ema};
use crate::ops::optimizer::Optimizer;
use crate::train::recipe::{Recipe, overrule};

/// AdamW's constants.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "AdamW")]
#[group(conflicts_with = "resume")]
pub(crate) struct AdamWArgs {
    /// Decoupled decay of matrices, in pre-training of tokens too
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
    /// Decay of the first moment
    #[arg(long, value_name = "X")]
    beta1: Option<f32>,
    /// Decay of the second moment
    #[arg(long, value_name = "X")]
    beta2: Option<f32>,
    /// Largest global gradient norm; 0 does not clip
    #[arg(long, value_name = "NORM")]
    clip_grad: Option<f32>,
    /// Decay of an exponential moving average of the weights, which is then measured, exported and used in their
    /// place; after t steps at most (1 + t) / (10 + t), so that short runs are not held back by their beginning
    #[arg(long, value_name = "DECAY|off", value_parser = parse_ema, allow_negative_numbers = true)]
    ema: Option<EmaArg>,
}

impl AdamWArgs {
    /// Changes the optimiser of `recipe`, if that is AdamW.
    pub(crate) fn apply(&self, recipe: &mut Recipe) {
        if let Optimizer::AdamW(adamw) = &mut recipe.optimizer {
            overrule(&mut adamw.weight_decay, self.weight_decay);
            overrule(&mut adamw.beta1, self.beta1);
            overrule(&mut adamw.beta2, self.beta2);
            overrule(&mut adamw.clip_norm, self.clip_grad);
            overrule(&mut adamw.ema, self.ema.map(|EmaArg(decay)| decay));
        }
    }
}
