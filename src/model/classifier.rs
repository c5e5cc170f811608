//! The encoder with a classification head: each variant's own, or a linear probe.

use super::block::{norm, projection};
use super::features::feature;
use super::mae::{Forward, encode_all};
use super::params::{ParamSpec, classifier_params};
use crate::config::{ModelConfig, Variant};
use crate::error::{Error, Result};
use crate::ops::{BatchNorm, Target, batch_norm, cross_entropy, mean_pool};
use crate::program::{Recorder, Tensor};

/// Epsilon and momentum of a linear probe's BatchNorm (`main_linprobe.py` of facebookresearch/mae).
const PROBE_NORM_EPS: f32 = 1e-6;
const PROBE_NORM_MOMENTUM: f32 = 0.1;

/// How tokens become one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum Pool {
    /// The cls token after the final norm
    Cls,
    /// The mean of the patch tokens
    Mean,
}

impl Pool {
    /// The cls token where pre-training has one, else the mean.
    pub fn usual(model: &ModelConfig) -> Self {
        if model.cls_tokens() > 0 { Self::Cls } else { Self::Mean }
    }
}

/// What stands on the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The variant's own classifier. Paper: `head` on the cls token after `norm` (Hugging Face's ViT),
    /// or on the mean of the patch tokens after `fc_norm` instead (MAE's fine-tuning, timm's
    /// `global_pool="avg"`). Plain: `fc_norm` and `head` on the cls token or on the mean of all tokens,
    /// which have a cls token in front. vit-pytorch: `norm`, then `head` on the cls token, which only
    /// this pooling has, or on the mean of the patch tokens.
    Full,
    /// Linear probing: BatchNorm without affine, then `head`, on features as [`super::features`] has
    /// them.
    Probe,
}

/// What a file of weights says of a classifier's head.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HeadInfo {
    /// Pooling.
    pub pool: Pool,
    /// What stands on the encoder.
    pub head: Head,
    /// Names of the classes, in the order of the head's rows.
    pub class_names: Vec<String>,
}

/// Which part of a classifier is trained; its head always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trainable {
    /// Everything.
    All,
    /// The last blocks of the encoder and the norm behind them.
    Blocks(usize),
    /// The MLP half of the last block, and the norm behind it (paper, Figure 9: "0.5 blocks").
    Half,
    /// The head alone.
    None,
}

impl Trainable {
    /// Whether the encoder's parameter `name`, or the norm behind it, is trained, where there are
    /// `depth` blocks.
    fn includes(self, name: &str, depth: usize) -> bool {
        let block = name.strip_prefix("blocks.").and_then(|rest| {
            let (number, part) = rest.split_once('.')?;
            Some((number.parse::<usize>().ok()?, part))
        });
        let is_last_norm = name.starts_with("norm.") || name.starts_with("fc_norm.");
        match (self, block) {
            (Self::All, _) => true,
            (Self::None, _) => false,
            (_, None) => is_last_norm,
            (Self::Blocks(count), Some((number, _))) => number + count >= depth,
            (Self::Half, Some((number, part))) => {
                number + 1 == depth && (part.starts_with("norm2.") || part.starts_with("mlp."))
            }
        }
    }
}

/// A classifier on a MAE's encoder.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClassifierConfig {
    /// The encoder; the decoder's fields are not used.
    pub model: ModelConfig,
    /// Pooling.
    pub pool: Pool,
    /// What stands on the encoder.
    pub head: Head,
    /// Number of classes.
    pub classes: usize,
    /// What is trained.
    pub trainable: Trainable,
    /// Whether positions are trained where everything is; the paper's fixed table stays otherwise.
    pub learned_positions: bool,
    /// Share of samples for which the last block's branches are dropped in training; it grows
    /// linearly from 0 at the first block. In [0, 1).
    pub drop_path: f32,
}

impl ClassifierConfig {
    /// Checks what the model does not check.
    ///
    /// # Errors
    /// [`Error::Config`] names the option, its value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let depth = self.model.encoder.depth;
        if self.classes < 2 {
            let problem = format!("{} classes; at least 2 can be told apart", self.classes);
            return Err(Error::config("--data", problem));
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            let problem = format!("must be in [0, 1), got {}", self.drop_path);
            return Err(Error::config("--drop-path", problem));
        }
        if let Trainable::Blocks(count) = self.trainable
            && !(1..=depth).contains(&count)
        {
            let problem =
                format!("the encoder has {depth} blocks, got {count}; or half, all, none");
            return Err(Error::config("--trainable-blocks", problem));
        }
        if self.pool == Pool::Cls && self.cls_tokens() == 0 {
            return Err(no_cls_token());
        }
        Ok(())
    }

    /// Cls tokens in front of the patches: 0 or 1.
    pub fn cls_tokens(&self) -> usize {
        match (self.head, self.model.variant) {
            (Head::Probe, variant) => usize::from(variant.cls_token()),
            (Head::Full, Variant::Paper | Variant::Plain) => 1,
            (Head::Full, Variant::VitPytorch) => usize::from(self.pool == Pool::Cls),
        }
    }

    /// Residual connections that drop-path may drop: two a block.
    pub fn connections(&self) -> usize {
        2 * self.model.encoder.depth
    }

    /// The share of samples that loses each residual branch, `connections` values.
    pub fn drop_rates(&self) -> Vec<f32> {
        let last = (self.model.encoder.depth.max(2) - 1) as f32;
        (0..self.connections()).map(|i| self.drop_path * (i / 2) as f32 / last).collect()
    }

    /// The parameter table: only what is trained is marked so.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut params = classifier_params(self);
        for param in &mut params {
            let is_head = param.name.starts_with("head.");
            let depth = self.model.encoder.depth;
            param.trainable &= is_head || self.trainable.includes(&param.name, depth);
        }
        params
    }
}

/// The error of pooling what a model does not have.
pub(super) fn no_cls_token() -> Error {
    Error::config("pool", "this model has no cls token; take the mean")
}

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
    /// A frozen encoder's features `[B, D]`; for [`Head::Probe`].
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
/// training BatchNorm uses the batch's statistics, and branches are dropped as the external buffer
/// `drop_path` `[connections, B]` says, if the configuration drops any.
pub fn classify(
    rec: &mut Recorder,
    config: &ClassifierConfig,
    batch: usize,
    input: Input,
    train: bool,
) -> Classified {
    let model = &config.model;
    let drop_scales = (train && config.drop_path > 0.0)
        .then(|| rec.external("drop_path", [config.connections(), batch]));
    let encoded = (input == Input::Images).then(|| {
        let [h, w] = model.image_size;
        let images = rec.external(input.label(), [batch, model.channels, h, w]);
        encode_all(rec, model, images, config.cls_tokens(), drop_scales)
    });
    rec.set_scope("head");
    let feature = match &encoded {
        None => rec.external(input.label(), [batch, model.encoder.dim]),
        Some(encoded) if config.head == Head::Probe => {
            feature(rec, model, encoded.latent, config.pool)
        }
        Some(encoded) => pooled(rec, config, encoded.latent),
    };
    let normed = match config.head {
        Head::Full => feature,
        Head::Probe => {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(trainable: Trainable, pool: Pool) -> ClassifierConfig {
        ClassifierConfig {
            model: ModelConfig::preset("tiny").unwrap(),
            pool,
            head: Head::Full,
            classes: 10,
            trainable,
            learned_positions: true,
            drop_path: 0.1,
        }
    }

    fn trained(trainable: Trainable) -> Vec<String> {
        let params = config(trainable, Pool::Mean).params();
        params.into_iter().filter(|p| p.trainable).map(|p| p.name).collect()
    }

    #[test]
    fn what_is_trained_follows_the_paper() {
        assert_eq!(trained(Trainable::None), ["head.weight", "head.bias"]);
        let half = trained(Trainable::Half);
        assert_eq!(half.len(), 2 + 4 + 2 + 2);
        assert!(half[..6].iter().all(|n| n.contains("5.norm2") || n.contains("5.mlp")), "{half:?}");
        let two = trained(Trainable::Blocks(2));
        assert!(two.iter().all(|n| !n.contains("blocks.3") && n != "pos_embed"));
        assert!(two.iter().any(|n| n == "blocks.4.norm1.weight"));
        assert_eq!(two.len(), 2 * 12 + 2 + 2);
        assert!(trained(Trainable::All).iter().any(|n| n == "pos_embed"));
    }

    #[test]
    fn drop_path_grows_with_depth() {
        let rates = config(Trainable::All, Pool::Mean).drop_rates();
        assert_eq!((rates.len(), rates[0], rates[1]), (12, 0.0, 0.0));
        assert!((rates[11] - 0.1).abs() < 1e-6 && (rates[2] - 0.02).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_refused() {
        let valid = config(Trainable::Blocks(6), Pool::Cls);
        valid.validate().unwrap();
        let refused = |change: fn(&mut ClassifierConfig)| {
            let mut changed = valid.clone();
            change(&mut changed);
            changed.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.trainable = Trainable::Blocks(7)).contains("has 6 blocks"));
        assert!(refused(|c| c.drop_path = 1.0).contains("--drop-path"));
        assert!(refused(|c| c.classes = 1).contains("1 classes"));
        assert!(
            refused(|c| (c.model.variant, c.head) = (Variant::Plain, Head::Probe)).contains("cls")
        );
    }
}
