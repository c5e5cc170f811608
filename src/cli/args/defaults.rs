//! Defaults in `--help`, as the recipes have them.

use clap::Arg;
use clap::builder::StyledStr;

use crate::cli::format::choice;
use crate::data::augment::transform::Crop;
use crate::model::classifier::Trainable;
use crate::ops::optimizer::Optimizer;
use crate::train::recipe::{Classify, Length, ProbeRecipe, Recipe};

/// Options by name, with what a recipe has where they are not given.
type Values = Vec<(&'static str, String)>;

/// Adds to the help of options what the first of `recipes` has where they are not given, and where the others have
/// something else; each comes with the words that say when it is taken. Help that names its default stays as it is.
pub(crate) fn show(recipes: &[(&'static str, Recipe)]) -> impl FnMut(Arg) -> Arg {
    let known: Vec<(&str, Values)> =
        recipes.iter().map(|(when, recipe)| (*when, values(recipe))).collect();
    move |arg| {
        let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
        match arg.get_long().and_then(|option| default(&known, option)) {
            Some(default) if !help.contains("[default: ") => {
                arg.help(format!("{help} [default: {default}]"))
            }
            _ => arg,
        }
    }
}

/// The values of `option`, without those that are the same as the first or the one before.
fn default(known: &[(&str, Values)], option: &str) -> Option<String> {
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for (when, values) in known {
        let Some((_, value)) = values.iter().find(|(name, _)| *name == option) else { continue };
        if shown.first().into_iter().chain(shown.last()).all(|(other, _)| other != value) {
            shown.push((value, when));
        }
    }
    let texts = shown.iter().map(|(value, when)| format!("{value} {when}").trim_end().to_owned());
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn values(recipe: &Recipe) -> Values {
    let mut values = vec![
        match recipe.length {
            Length::Epochs(epochs) => ("epochs", epochs.to_string()),
            Length::Steps(steps) => ("steps", steps.to_string()),
        },
        match recipe.lr {
            Some(lr) => ("lr", rate(lr)),
            None => ("blr", rate(recipe.blr)),
        },
        ("jitter", "0".to_owned()),
        ("batch-size", recipe.batch_size.to_string()),
        ("grad-accum", recipe.grad_accum.to_string()),
        ("min-lr", rate(recipe.min_lr)),
        ("seed", recipe.seed.to_string()),
        ("eval-every", recipe.eval_every.to_string()),
        ("pictures-every", recipe.pictures_every.to_string()),
        ("checkpoint-every", recipe.checkpoint_every.to_string()),
        ("keep-checkpoints", recipe.keep_checkpoints.to_string()),
        ("pictures", recipe.data.pictures.to_string()),
        ("synthetic-images", recipe.data.synthetic_len.to_string()),
    ];
    if let Crop::RandomResized { scale: [low, high], .. } = recipe.data.augment.crop {
        values.push(("crop-scale", format!("{low},{high}")));
    }
    if let Optimizer::AdamW(adamw) = recipe.optimizer {
        values.push(("weight-decay", adamw.weight_decay.to_string()));
        values.push(("beta1", adamw.beta1.to_string()));
        values.push(("beta2", adamw.beta2.to_string()));
        values.push(("clip-grad", adamw.clip_norm.to_string()));
        values.push(("ema", adamw.ema.map_or("off".to_owned(), |decay| decay.to_string())));
    }
    if let Some(ProbeRecipe { every, blr, .. }) = recipe.probe {
        values.push(("probe-every", every.to_string()));
        values.push(("probe-blr", rate(blr)));
    }
    values.extend(recipe.classify.iter().flat_map(|classify| regularisation(recipe, classify)));
    values
}

fn regularisation(recipe: &Recipe, classify: &Classify) -> Values {
    let augment = &recipe.data.augment;
    let erasing = augment.erasing.map_or(0.0, |erasing| erasing.probability);
    let rand_augment = augment
        .rand_augment
        .map_or("off".to_owned(), |augment| format!("{},{}", augment.magnitude, augment.deviation));
    let mut values = vec![
        ("pool", choice(classify.pool)),
        ("mixup", classify.mix.mixup.to_string()),
        ("cutmix", classify.mix.cutmix.to_string()),
        ("smoothing", classify.smoothing.to_string()),
        ("drop-path", classify.drop_path.to_string()),
        ("layer-decay", classify.layer_decay.to_string()),
        ("rand-augment", rand_augment),
        ("erasing", erasing.to_string()),
    ];
    if classify.trainable == Trainable::All {
        values.push(("trainable-blocks", "all".to_owned()));
    }
    values
}

/// Small rates as one writes them: 1.5e-4.
pub(crate) fn rate(value: f64) -> String {
    if value > 0.0 && value < 0.01 { format!("{value:e}") } else { value.to_string() }
}
