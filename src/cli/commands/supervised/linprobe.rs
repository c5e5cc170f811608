//! `webmae linprobe`: a linear layer on frozen features.

use super::encoder::{GivenEncoder, WeightsArgs};
use super::overrule_pool;
use super::pictures::Pictures;
use crate::cli::args::defaults::show;
use crate::cli::args::run::CommonArgs;
use crate::config::ModelConfig;
use crate::error::Result;
use crate::model::classifier::Pool;
use crate::train::paper::IMAGENET_IMAGES;
use crate::train::recipe::Recipe;
use crate::train::run::Start;

/// Options of `webmae linprobe`.
#[derive(Debug, clap::Args)]
#[command(mut_args(show(&linprobe_defaults())))]
#[command(after_help = "\
The encoder stays as it is; BatchNorm without affine and a linear layer are trained on its
features, with LARS as in the paper. The paper's base learning rate is for ImageNet's 1.28 million
pictures; LARS moves the weights by a share of themselves a step, so with fewer pictures, and
steps, the default is larger in proportion.

With --crop center (or none) and --no-flip a picture always has the same feature: the features are then
extracted once, and training takes seconds.

Examples:
  webmae linprobe --weights runs/cifar-tiny-1 --data CIFAR
  webmae linprobe --weights runs/photos-small-1 --data PHOTOS --crop center --no-flip")]
pub(crate) struct LinprobeArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How tokens become one feature [default: cls where the model has a cls token, else mean]
    #[arg(long, conflicts_with = "resume")]
    pool: Option<Pool>,
}

impl LinprobeArgs {
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
        let Pictures { data, class_names, count } = Pictures::open(&self.common, &model)?;
        let mut recipe = Recipe::linprobe(model, data, class_names, count);
        self.common.apply(&mut recipe)?;
        overrule_pool(&mut recipe, self.pool);
        Ok(encoder.start(recipe, &self.common, "linprobe"))
    }
}

/// What `webmae linprobe --help` says of options that are not given.
fn linprobe_defaults() -> Vec<(&'static str, Recipe)> {
    let probe = |images| {
        let model = ModelConfig::preset("vit-b").expect("a preset");
        Recipe::linprobe(model, "pictures", Vec::new(), images)
    };
    vec![("", probe(IMAGENET_IMAGES)), ("with few pictures", probe(1))]
}
