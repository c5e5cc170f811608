//! The encoder with a classification head: cls token or mean pooling.

use super::block::{norm, projection};
use super::mae::{Forward, encode_all};
use super::params::{ParamSpec, classifier_params};
use crate::config::ModelConfig;
use crate::ops::mean_pool;
use crate::program::{Recorder, Tensor};

/// How tokens become one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The cls token after the final norm (Hugging Face's ViT).
    Cls,
    /// The mean of the patch tokens, then `fc_norm`; no final norm (MAE's fine-tuning, timm's
    /// `global_pool="avg"`).
    Mean,
}

/// A classifier on a MAE's encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierConfig {
    /// The encoder; the decoder's fields are not used.
    pub model: ModelConfig,
    /// Pooling.
    pub pool: Pool,
    /// Number of classes.
    pub classes: usize,
    /// Whether positions are trained.
    pub learned_positions: bool,
}

impl ClassifierConfig {
    /// The parameter table.
    pub fn params(&self) -> Vec<ParamSpec> {
        classifier_params(self)
    }
}

/// What a recorded classifier yields.
#[derive(Debug, Clone)]
pub struct Classified {
    /// The encoder's part.
    pub encoded: Forward,
    /// Pooled feature `[B, D]` in front of the head.
    pub feature: Tensor,
    /// `[B, classes]`.
    pub logits: Tensor,
}

/// Classifier on `images [B, C, H, W]`.
pub fn classify(rec: &mut Recorder, config: &ClassifierConfig, images: Tensor) -> Classified {
    let encoded = encode_all(rec, &config.model, images);
    rec.set_scope("head");
    let cls = config.model.cls_tokens();
    let feature = match config.pool {
        Pool::Cls => mean_pool(rec, encoded.latent, 0..1),
        Pool::Mean => {
            let pooled = mean_pool(rec, encoded.latent, cls..cls + config.model.num_patches());
            norm(rec, "fc_norm", config.model.layer_norm_eps, pooled)
        }
    };
    let logits = projection(rec, "head", feature);
    Classified { encoded, feature, logits }
}
