//! Recording the encoder with a classification head: each variant's own, or a linear probe.

use super::block::{norm, projection};
use super::classifier::{ClassifierConfig, Head, Pool};
use super::drops::Drops;
use super::features::feature;
use super::mae::{Forward, encode_all};
use crate::config::{ModelConfig, Variant};
use crate::ops::{BatchNorm, Target, batch_norm, cross_entropy, mean_pool};
use crate::program::{Recorder, Tensor};

/// Epsilon and momentum of a linear probe's BatchNorm (`main_linprobe.py` of facebookresearch/mae).
const PROBE_NORM_EPS: f32 = 1e-6;
const PROBE_NORM_MOMENTUM: f32 = 0.1;

/// What a recorded classifier yields.
#[derive(Debug, Clone)]
pub struct Classified {
    /// The encoder's part, unless features were given.
    pub encoded: Option<Forward>,
    /// Feature `[B, D]` in front of the head.
    pub feature: Tensor,
    /// `[B, classes]`.
    pub logits: Tensor,
}

/// What a classifier begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Pictures `[B, C, H, W]`.
    Images,
    /// A frozen encoder's features `[B, D]`; for a linear probe.
    Features,
}

impl Input {
    /// Label of the program's input.
    pub fn label(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Features => "features",
        }
    }
}

/// Records the classifier of `batch` inputs, which are the external buffer of [`Input::label`]. In
/// training BatchNorm uses the batch's statistics, branches are dropped as the external buffer
/// `drop_path` `[connections, B]` says, if the configuration drops any, and values as the external buffers `step` and
/// `sample_ids` `[B]` say, if the model drops any.
pub fn classify(
    rec: &mut Recorder,
    config: &ClassifierConfig,
    batch: usize,
    input: Input,
    train: bool,
) -> Classified {
    let model = &config.model;
    let drops = if train { drops(rec, config, batch) } else { Drops::default() };
    let encoded = (input == Input::Images).then(|| {
        let [h, w] = model.image_size;
        let images = rec.external(input.label(), [batch, model.channels, h, w]);
        encode_all(rec, model, images, config.cls_tokens(), drops)
    });
    rec.set_scope("head");
    let feature = match &encoded {
        None => rec.external(input.label(), [batch, model.encoder.dim]),
        Some(encoded) if config.head.is_probe() => feature(rec, model, encoded.latent, config.pool),
        Some(encoded) => pooled(rec, config, encoded.latent),
    };
    let normed = match config.head {
        Head::Full => feature,
        Head::Probe | Head::FcNormProbe => {
            let norm = BatchNorm {
                running_mean: rec.param("head_norm.running_mean"),
                running_var: rec.param("head_norm.running_var"),
                eps: PROBE_NORM_EPS,
                momentum: PROBE_NORM_MOMENTUM,
                train,
            };
            batch_norm(rec, feature, norm)
        }
    };
    let logits = projection(rec, "head", normed);
    Classified { encoded, feature, logits }
}

/// What training drops. A probe learns from features, of which nothing is dropped.
fn drops(rec: &mut Recorder, config: &ClassifierConfig, batch: usize) -> Drops {
    let paths =
        (config.drop_path > 0.0).then(|| rec.external("drop_path", [config.connections(), batch]));
    let drops = Drops { paths, ..Drops::default() };
    if config.head.is_probe() {
        return drops;
    }
    let &ModelConfig { dropout, emb_dropout, .. } = &config.model;
    drops.with_values(rec, dropout, batch).with_embedding(rec, emb_dropout, batch)
}

/// The pooling of the variant's own classifier, with the norm behind it where there is one.
fn pooled(rec: &mut Recorder, config: &ClassifierConfig, latent: Tensor) -> Tensor {
    let cls = config.cls_tokens();
    let tokens = cls + config.model.num_patches();
    let range = match (config.pool, config.model.variant) {
        (Pool::Cls, _) => 0..1,
        (Pool::Mean, Variant::Plain) => 0..tokens,
        (Pool::Mean, _) => cls..tokens,
    };
    let pooled = mean_pool(rec, latent, range);
    match rec.find_param("fc_norm.weight") {
        Some(_) => norm(rec, "fc_norm", config.model.layer_norm_eps, pooled),
        None => pooled,
    }
}

/// Records the loss of `batch` inputs against the external buffer `targets` `[B, classes]`, added to the
/// returned external buffer `loss` `[1]`, divided by the number of `accumulated` batches.
pub fn classification_objective(
    rec: &mut Recorder,
    config: &ClassifierConfig,
    [batch, accumulated]: [usize; 2],
    input: Input,
) -> Tensor {
    let logits = classify(rec, config, batch, input, true).logits;
    rec.set_scope("loss");
    let targets = rec.external("targets", [batch, config.classes]);
    let loss = rec.external("loss", [1]);
    cross_entropy(rec, logits, Target::Soft(targets), batch * accumulated, loss);
    loss
}
