//! Options that regularise training with labels: augmentation, mixing, drop-path.

use crate::data::augment::erasing::RandomErasing;
use crate::data::augment::rand_augment::RandAugment;
use crate::train::recipe::{Recipe, overrule};

/// Augmentation and regularisation; each switch overrules the recipe's.
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
    layer_decay: Option<f32>,
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
    /// Whether only crops and flips are wanted besides what is given.
    pub(crate) fn is_plain(&self) -> bool {
        self.recipe == RegularRecipe::Plain
    }

    /// Changes `recipe`, which has labels, as they say.
    pub(crate) fn apply(&self, recipe: &mut Recipe) {
        if let Some(classify) = &mut recipe.classify {
            overrule(&mut classify.mix.mixup, self.mixup);
            overrule(&mut classify.mix.cutmix, self.cutmix);
            overrule(&mut classify.smoothing, self.smoothing);
            overrule(&mut classify.drop_path, self.drop_path);
            overrule(&mut classify.layer_decay, self.layer_decay);
        }
        let augment = &mut recipe.data.augment;
        overrule(&mut augment.rand_augment, self.rand_augment.map(|RandAugmentArg(given)| given));
        if let Some(probability) = self.erasing {
            let erasing = RandomErasing { probability, ..RandomErasing::paper() };
            augment.erasing = (probability != 0.0).then_some(erasing);
        }
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
