//! Hugging Face's `config.json` (`ViTMAEConfig`, `ViTConfig`) and what it says of the model.

use serde::{Deserialize, Serialize};

use super::header::possible;
use crate::config::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};
use crate::error::{Error, Result};

/// A size in pixels: one number for a square, or height and width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Size {
    Square(usize),
    Sides([usize; 2]),
}

impl Size {
    fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

/// The fields of `ViTMAEConfig` that matter here, with that class's defaults where a file leaves
/// them out; fields of `ViTConfig` have the same names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HfConfig {
    architectures: Vec<String>,
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    hidden_dropout_prob: f64,
    attention_probs_dropout_prob: f64,
    initializer_range: f64,
    layer_norm_eps: f64,
    image_size: Size,
    patch_size: Size,
    num_channels: usize,
    qkv_bias: bool,
    decoder_num_attention_heads: usize,
    decoder_hidden_size: usize,
    decoder_num_hidden_layers: usize,
    decoder_intermediate_size: usize,
    mask_ratio: f64,
    norm_pix_loss: bool,
}

impl Default for HfConfig {
    fn default() -> Self {
        Self {
            architectures: vec!["ViTMAEForPreTraining".to_owned()],
            model_type: "vit_mae".to_owned(),
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            image_size: Size::Square(224),
            patch_size: Size::Square(16),
            num_channels: 3,
            qkv_bias: true,
            decoder_num_attention_heads: 16,
            decoder_hidden_size: 512,
            decoder_num_hidden_layers: 8,
            decoder_intermediate_size: 2048,
            mask_ratio: 0.75,
            norm_pix_loss: false,
        }
    }
}

impl HfConfig {
    /// Parses the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::BadWeights`] when it is no JSON object with these fields.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|e| Error::BadWeights {
            problem: format!("not the config.json of a Hugging Face ViTMAE or ViT model: {e}"),
        })
    }

    /// The text of the `config.json` of a model.
    ///
    /// # Errors
    /// [`Error::Argument`] says what `ViTMAEForPreTraining` cannot express: another variant,
    /// non-square images or patches, mask tokens in the encoder.
    pub fn for_model(config: &ModelConfig) -> Result<Self> {
        let refuse = |problem: &str| Err(Error::argument("export to Hugging Face", problem));
        let ([h, w], [p, q]) = (config.image_size, config.patch_size);
        if config.variant != Variant::Paper {
            return refuse("transformers has only the paper variant of the masked autoencoder");
        }
        if h != w || p != q {
            let found = format!("{h}×{w} images, {p}×{q} patches");
            return refuse(&format!("ViTMAE takes square images and patches only, got {found}"));
        }
        if config.encoder_mask_tokens {
            return refuse("ViTMAE has no mask tokens in the encoder");
        }
        Ok(Self {
            hidden_size: config.encoder.dim,
            num_hidden_layers: config.encoder.depth,
            num_attention_heads: config.encoder.heads,
            intermediate_size: config.encoder.mlp_dim,
            layer_norm_eps: decimal(config.layer_norm_eps),
            image_size: Size::Square(h),
            patch_size: Size::Square(p),
            num_channels: config.channels,
            decoder_num_attention_heads: config.decoder.heads,
            decoder_hidden_size: config.decoder.dim,
            decoder_num_hidden_layers: config.decoder.depth,
            decoder_intermediate_size: config.decoder.mlp_dim,
            mask_ratio: config.mask_ratio,
            norm_pix_loss: config.norm_pix_loss,
            ..Self::default()
        })
    }

    /// The model that the file describes.
    ///
    /// # Errors
    /// [`Error::BadWeights`] for what is not supported (another model type, another activation, no
    /// qkv bias), and when the sizes do not fit together.
    pub fn to_model(&self) -> Result<ModelConfig> {
        let unsupported = |problem: String| Err(Error::BadWeights { problem });
        if !matches!(self.model_type.as_str(), "vit_mae" | "vit") {
            return unsupported(format!(
                "config.json describes a {:?} model; vit_mae and vit can be read",
                self.model_type
            ));
        }
        if self.hidden_act != "gelu" {
            return unsupported(format!(
                "config.json asks for the activation {:?}; only \"gelu\" (exact) is computed",
                self.hidden_act
            ));
        }
        if !self.qkv_bias {
            return unsupported("config.json has qkv_bias false; the paper variant has one".into());
        }
        let stack = |dim, depth, heads, mlp_dim| StackConfig {
            mlp_dim,
            ..StackConfig::new(dim, depth, heads)
        };
        let config = ModelConfig {
            variant: Variant::Paper,
            image_size: self.image_size.sides(),
            patch_size: self.patch_size.sides(),
            channels: self.num_channels,
            encoder: stack(
                self.hidden_size,
                self.num_hidden_layers,
                self.num_attention_heads,
                self.intermediate_size,
            ),
            decoder: stack(
                self.decoder_hidden_size,
                self.decoder_num_hidden_layers,
                self.decoder_num_attention_heads,
                self.decoder_intermediate_size,
            ),
            mask_ratio: self.mask_ratio,
            mask_strategy: MaskStrategy::Random,
            target: PatchTarget::Pixels,
            norm_pix_loss: self.norm_pix_loss,
            encoder_mask_tokens: false,
            positions: None,
            layer_norm_eps: self.layer_norm_eps as f32,
            dropout: 0.0,
            emb_dropout: 0.0,
        };
        possible(config)
    }
}

/// The float64 with the same shortest decimal digits, so that 0.485 is written as 0.485.
pub(super) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(value.into())
}
