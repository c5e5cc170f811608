//! `webmae train`: a classifier from random values.

use super::encoder::GivenEncoder;
use super::pictures::Pictures;
use super::{overrule_pool, shown};
use crate::cli::args::adamw::AdamWArgs;
use crate::cli::args::defaults::show;
use crate::cli::args::dropout::DropoutArgs;
use crate::cli::args::memory::MemoryArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::regular::RegularArgs;
use crate::cli::args::run::CommonArgs;
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::train::recipe::Recipe;
use crate::train::run::Start;

/// Help of the warm-up, of which one recipe has its own.
const WARMUP: &str = "Warm-up in epochs [default: 20; a tenth of the run with another number of --epochs, \
                      with --steps or --recipe plain]";

/// Options of `webmae train`.
#[derive(Debug, clap::Args)]
#[command(mut_group("ModelArgs", |group| group.conflicts_with("resume")))]
#[command(mut_group("DropoutArgs", |group| group.conflicts_with("resume")))]
#[command(mut_arg("warmup_epochs", |arg| arg.help(WARMUP)))]
#[command(mut_args(show(&train_defaults())))]
#[command(after_help = "\
The supervised baseline: the same classifier as `finetune`, from random values. --recipe strong
is the paper's (appendix A.2, Table 11) but for the size of batches and the beginning of the
average, which forgets faster than --ema until some 90,000 steps are done; its 20 epochs of warm-up
are for its own length, and become a tenth of another one. --recipe plain has crops and flips
only, and AdamW as in fine-tuning.

Examples:
  webmae train --data CIFAR --preset tiny
  webmae train --data PHOTOS --preset small --recipe plain
  webmae train --data PHOTOS --preset plain --pool cls")]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How tokens become one feature
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    regular: RegularArgs,
    #[command(flatten)]
    adamw: AdamWArgs,
    #[command(flatten)]
    dropout: DropoutArgs,
    #[command(flatten)]
    model: ModelArgs,
}

impl TrainArgs {
    /// A new run.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn begin(&self) -> Result<(Recipe, Start)> {
        let mut model = self.model.config("tiny")?;
        self.dropout.apply(&mut model)?;
        let encoder = GivenEncoder::fresh(model.clone());
        let Pictures { data, class_names, .. } = Pictures::open(&self.common, &model)?;
        let mut recipe = match self.regular.is_plain() {
            false => Recipe::train_from_scratch(model, data, class_names),
            true => Recipe::train_plainly(model, data, class_names),
        };
        self.common.apply(&mut recipe)?;
        overrule_pool(&mut recipe, self.pool);
        self.regular.apply(&mut recipe);
        self.adamw.apply(&mut recipe);
        self.memory.apply(&mut recipe);
        Ok(encoder.start(recipe, &self.common, "train"))
    }
}

/// What `webmae train --help` says of options that are not given.
fn train_defaults() -> Vec<(&'static str, Recipe)> {
    vec![
        ("", shown(Recipe::train_from_scratch, "vit-b")),
        ("from 24 blocks on", shown(Recipe::train_from_scratch, "vit-l")),
        ("with --recipe plain", shown(Recipe::train_plainly, "vit-b")),
    ]
}
