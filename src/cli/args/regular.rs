//! Options that regularise training with labels: AdamW's, augmentation, mixing, drop-path.

use super::run::DataArgs;
use crate::data::Augment;
use crate::data::erasing::RandomErasing;
use crate::data::mix::Mix;
use crate::data::rand_augment::RandAugment;
use crate::model::classifier::{Head, Pool, Trainable};
use crate::ops::optimizer::{AdamW, Optimizer};
use crate::train::recipe::Classify;

/// AdamW, augmentation and regularisation; each switch overrides the recipe's.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Regularisation")]
#[group(conflicts_with = "resume")]
pub(crate) struct RegularArgs {
    /// What the switches below are by default
    #[arg(long, value_enum, default_value_t = RegularRecipe::Strong)]
    recipe: RegularRecipe,
    /// Beta parameter of MixUp; 0 is off
    #[arg(long, value_name = "A")]
    mixup: Option<f32>,
    /// Beta parameter of CutMix; 0 is off
    #[arg(long, value_name = "A")]
    cutmix: Option<f32>,
    /// Share of each target that is spread over all classes
    #[arg(long, value_name = "S")]
    smoothing: Option<f32>,
    /// RandAugment's magnitude (0 to 10) and its deviation
    #[arg(long, value_name = "M,D|off", value_parser = parse_rand_augment)]
    rand_augment: Option<RandAugmentArg>,
    /// Share of pictures in which a rectangle is covered with noise
    #[arg(long, value_name = "P")]
    erasing: Option<f32>,
    /// Share of samples for which the last block's branches are dropped
    #[arg(long, value_name = "P")]
    drop_path: Option<f32>,
    /// Factor on the learning rate from each block to the one before it
    #[arg(long, value_name = "X")]
    pub layer_decay: Option<f32>,
    /// Decoupled decay of matrices
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,
    /// Decay of AdamW's first moment
    #[arg(long, value_name = "X", default_value_t = 0.9)]
    beta1: f32,
    /// Decay of AdamW's second moment
    #[arg(long, value_name = "X")]
    beta2: Option<f32>,
    /// Largest global gradient norm; 0 does not clip
    #[arg(long, value_name = "NORM", default_value_t = 0.0)]
    clip_grad: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RegularRecipe {
    /// The paper's
    Strong,
    /// Crops and flips only
    Plain,
}

/// RandAugment, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RandAugmentArg(Option<RandAugment>);

impl RegularArgs {
    /// Whether defaults are the paper's.
    pub(crate) fn is_strong(&self) -> bool {
        self.recipe == RegularRecipe::Strong
    }

    /// `given`, or the recipe's value: `strong`, or off.
    fn or(&self, given: Option<f32>, strong: f32) -> f32 {
        given.unwrap_or(if self.is_strong() { strong } else { 0.0 })
    }

    /// The full classifier with this regularisation, of no classes yet, trained whole.
    pub(crate) fn classify(&self, pool: Pool, drop_path: f32) -> Classify {
        let paper = Mix::paper();
        Classify {
            pool,
            head: Head::Full,
            class_names: Vec::new(),
            trainable: Trainable::All,
            learned_positions: true,
            drop_path: self.or(self.drop_path, drop_path),
            layer_decay: 1.0,
            smoothing: self.or(self.smoothing, 0.1),
            mix: Mix {
                mixup: self.or(self.mixup, paper.mixup),
                cutmix: self.or(self.cutmix, paper.cutmix),
                ..paper
            },
            weights: None,
        }
    }

    /// What is done to each picture.
    pub(crate) fn augment(&self, data: &DataArgs) -> Augment {
        let random = Augment::classify().crop;
        let paper = RandomErasing::paper();
        let probability = self.or(self.erasing, paper.probability);
        let strong = RandAugmentArg(self.is_strong().then(RandAugment::paper));
        Augment {
            rand_augment: self.rand_augment.unwrap_or(strong).0,
            erasing: (probability != 0.0).then_some(RandomErasing { probability, ..paper }),
            ..data.augment(random, random)
        }
    }

    /// AdamW, with the decay and second beta of the command's recipe.
    pub(crate) fn optimizer(&self, weight_decay: f32, beta2: f32) -> Optimizer {
        Optimizer::AdamW(AdamW {
            beta1: self.beta1,
            beta2: self.beta2.unwrap_or(beta2),
            eps: 1e-8,
            weight_decay: self.weight_decay.unwrap_or(weight_decay),
            clip_norm: self.clip_grad,
        })
    }
}

fn parse_rand_augment(text: &str) -> std::result::Result<RandAugmentArg, String> {
    if text == "off" {
        return Ok(RandAugmentArg(None));
    }
    let number = |text: &str| text.trim().parse::<f32>().ok();
    let parsed = text.split_once(',').and_then(|(m, d)| Some((number(m)?, number(d)?)));
    let Some((magnitude, deviation)) = parsed else {
        return Err(format!("{text:?} is not two numbers as in 9,0.5, and not off"));
    };
    Ok(RandAugmentArg(Some(RandAugment { magnitude, deviation, ..RandAugment::paper() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn augmentations_have_names() {
        let parsed = parse_rand_augment("7, 0").unwrap().0.unwrap();
        assert_eq!((parsed.magnitude, parsed.deviation), (7.0, 0.0));
        assert_eq!(parse_rand_augment("off"), Ok(RandAugmentArg(None)));
        assert!(parse_rand_augment("9").is_err());
    }
}
