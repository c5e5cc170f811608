//! `webmae finetune`: the encoder, or a part of it, with a new head.

use super::encoder::{GivenEncoder, WeightsArgs};
use super::pictures::Pictures;
use super::{overrule_pool, shown};
use crate::cli::args::adamw::AdamWArgs;
use crate::cli::args::defaults::show;
use crate::cli::args::dropout::DropoutArgs;
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::regular::RegularArgs;
use crate::cli::args::run::CommonArgs;
use crate::cli::format::choice;
use crate::error::Result;
use crate::model::classifier::{Pool, Trainable};
use crate::train::recipe::Recipe;
use crate::train::run::Start;

/// Options of `webmae finetune`.
#[derive(Debug, clap::Args)]
#[command(mut_group("DropoutArgs", |group| group.conflicts_with("resume")))]
#[command(mut_args(show(&finetune_defaults())))]
#[command(after_help = "\
The defaults are the paper's recipe; --recipe plain has crops and flips only.

--trainable-blocks freezes the rest: no gradients are computed for it, and no memory is taken.

Examples:
  webmae finetune --weights runs/cifar-tiny-1 --data CIFAR
  webmae finetune --weights vit-mae-base/ --data PHOTOS --trainable-blocks 4
  webmae finetune --resume runs/CIFAR-finetune-1")]
pub(crate) struct FinetuneArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How tokens become one feature
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
    /// What is trained: all, the last N blocks, half (the MLP of the last block), or none (the head alone)
    #[arg(long, value_name = "N|half|all|none", conflicts_with = "resume")]
    #[arg(value_parser = parse_trainable)]
    trainable_blocks: Option<Trainable>,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
    #[command(flatten)]
    dropout: DropoutArgs,
    #[command(flatten)]
    adamw: AdamWArgs,
}

impl FinetuneArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        self.begin_on(self.weights.open()?)
    }

    /// The same on an encoder at hand.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin_on(&self, encoder: GivenEncoder) -> Result<(Recipe, Start)> {
        let model = encoder.model.clone();
        let Pictures { data, class_names, .. } = Pictures::open(&self.common, &model)?;
        let mut recipe = match self.trainable_blocks {
            None => Recipe::finetune(model, data, class_names),
            Some(trainable) => Recipe::partial(model, data, class_names, trainable),
        };
        if self.regular.is_plain() {
            recipe = recipe.crops_and_flips_only();
        }
        self.common.apply(&mut recipe)?;
        overrule_pool(&mut recipe, self.pool.or(encoder.pool));
        if let (None, Some(classify)) = (self.pool, &recipe.classify) {
            say!("tokens become one feature by {} (--pool)", choice(classify.pool));
        }
        self.regular.apply(&mut recipe);
        self.dropout.apply(&mut recipe.model)?;
        self.adamw.apply(&mut recipe);
        self.memory.apply(&mut recipe);
        Ok(encoder.start(recipe, &self.common, "finetune"))
    }
}

/// What `webmae finetune --help` says of options that are not given.
fn finetune_defaults() -> Vec<(&'static str, Recipe)> {
    let base = shown(Recipe::finetune, "vit-b");
    vec![
        ("", base.clone()),
        ("from 24 blocks on", shown(Recipe::finetune, "vit-l")),
        ("from 32 on", shown(Recipe::finetune, "vit-h")),
        ("with --recipe plain", base.crops_and_flips_only()),
    ]
}

fn parse_trainable(text: &str) -> std::result::Result<Trainable, String> {
    match text {
        "all" => Ok(Trainable::All),
        "half" => Ok(Trainable::Half),
        "none" | "0" => Ok(Trainable::None),
        number => match number.parse() {
            Ok(blocks) => Ok(Trainable::Blocks(blocks)),
            Err(_) => Err(format!("{text:?} is no number of blocks, and not half, all or none")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names() {
        assert_eq!(parse_trainable("half"), Ok(Trainable::Half));
        assert_eq!(parse_trainable("3"), Ok(Trainable::Blocks(3)));
        assert_eq!(parse_trainable("0"), Ok(Trainable::None));
        assert!(parse_trainable("most").is_err());
    }
}
