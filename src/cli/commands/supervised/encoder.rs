//! The encoder that training with labels begins with.

use std::path::PathBuf;

use crate::cli::args::run::CommonArgs;
use crate::cli::args::weights::OverrideArgs;
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::Result;
use crate::model::classifier::{Head, Pool};
use crate::model::params::is_decoder;
use crate::tensor::TensorMap;
use crate::train::recipe::{NormalizationChoice, Recipe, overrule};
use crate::train::run::Start;
use crate::weights::FileKind;

/// Where the encoder comes from.
#[derive(Debug, clap::Args)]
#[command(mut_group("OverrideArgs", |group| group.conflicts_with("resume")))]
pub(super) struct WeightsArgs {
    /// Pre-trained: run folder, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or Hugging Face folder
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "resume",
        required_unless_present = "resume"
    )]
    weights: Option<PathBuf>,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// Which encoder a run begins with.
pub(crate) struct GivenEncoder {
    pub(super) model: ModelConfig,
    /// Pixel statistics that the weights come with.
    normalization: Option<Normalization>,
    tensors: TensorMap,
    origin: Option<String>,
    /// Which of the file's sets of weights it is, where there are several.
    set: Option<String>,
    /// How it was pooled, if it comes from a classifier that says so.
    pub(super) pool: Option<Pool>,
}

impl WeightsArgs {
    pub(super) fn open(&self) -> Result<GivenEncoder> {
        let path = self.weights.as_ref().expect("required unless a run is resumed");
        let (weights, normalization, whose) =
            self.overrides.open_for(path, FileKind::EncoderOnly, false)?;
        say!("{}, pixels normalised with {whose}", weights.file.display());
        let mut pool = None;
        if weights.kind == FileKind::Classifier {
            say!("its head is not used: training makes its own");
            let full = weights.head.as_ref().filter(|head| head.head == Head::Full);
            pool = full.map(|head| head.pool);
        }
        let tensors = weights.tensors.into_iter();
        Ok(GivenEncoder {
            model: weights.config,
            normalization: Some(normalization),
            tensors: tensors
                .filter(|(name, _)| !is_decoder(name) && !name.starts_with("head"))
                .collect(),
            origin: Some(weights.file.display().to_string()),
            set: (!weights.sets.others.is_empty()).then_some(weights.sets.chosen),
            pool,
        })
    }
}

impl GivenEncoder {
    /// One with random values.
    pub(crate) fn fresh(model: ModelConfig) -> Self {
        let tensors = TensorMap::new();
        Self { model, normalization: None, tensors, origin: None, set: None, pool: None }
    }

    /// A run of `recipe` that begins with this encoder; `kind` is for the folder's name.
    pub(super) fn start(
        self,
        mut recipe: Recipe,
        common: &CommonArgs,
        kind: &str,
    ) -> (Recipe, Start) {
        let normalization = self.normalization.map(NormalizationChoice::Given);
        overrule(&mut recipe.data.normalization, normalization);
        if let Some(classify) = &mut recipe.classify {
            (classify.weights, classify.weights_key) = (self.origin, self.set);
        }
        let folder = common.run.folder(&recipe.data.data, kind);
        (recipe, Start::New(folder, self.tensors))
    }
}
