//! The model's configuration: presets, the switches of each variant, and every size derived from
//! them. All sizes are computed here and nowhere else.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::setting::{Setting, StackSettings};

/// Which published form of the masked autoencoder is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum Variant {
    /// He et al. 2021 as in `facebookresearch/mae` and Hugging Face's `ViTMAEForPreTraining`:
    /// cls token, fixed sin-cos positions, qkv bias, final norms, decoder on unshuffled tokens.
    Paper,
    /// The simplest published form (vit-pytorch ≤ 0.25): no cls token in the MAE path, learned
    /// positions, no qkv bias, no final norms, decoder on `[mask tokens; visible tokens]`.
    Plain,
    /// `vit_pytorch.MAE` since 1.0: as [`Variant::Plain`] with LayerNorms around the patch
    /// embedding, final norms, and decoder positions on all tokens, which are put back in order.
    VitPytorch,
}

impl Variant {
    /// Whether a cls token is prepended in the MAE path.
    pub fn cls_token(self) -> bool {
        self == Self::Paper
    }

    /// Whether the fused qkv projection has a bias.
    pub fn qkv_bias(self) -> bool {
        self == Self::Paper
    }

    /// The positions of the variant's reference code.
    pub fn positions(self) -> Positions {
        if self == Self::Paper { Positions::Sincos } else { Positions::Learned }
    }

    /// Whether encoder and decoder end with a LayerNorm.
    pub fn final_norms(self) -> bool {
        self != Self::Plain
    }

    /// Whether LayerNorms surround the patch embedding.
    pub fn patch_norms(self) -> bool {
        self == Self::VitPytorch
    }

    /// Whether the decoder sees all tokens in patch order (`false`: mask tokens first).
    pub fn unshuffles(self) -> bool {
        self != Self::Plain
    }

    /// Whether the patches with the *smallest* noise are masked (`false`: kept).
    pub fn masks_smallest(self) -> bool {
        self != Self::Paper
    }

    /// Whether a patch's pixels are flattened channel first for the embedding, as a convolution
    /// does (`false`: row, column, channel).
    pub fn channel_first_patches(self) -> bool {
        self == Self::Paper
    }

    /// Whether projections between equal widths are left out: `to_out` where one head is as wide
    /// as the model, `enc_to_dec` where encoder and decoder are equally wide.
    pub fn skips_identities(self) -> bool {
        self != Self::Paper
    }

    /// Whether training may drop values at random.
    pub fn drops_values(self) -> bool {
        self != Self::Paper
    }

    /// LayerNorm's epsilon of the variant's reference code.
    pub fn layer_norm_eps(self) -> f32 {
        if self == Self::Paper { 1e-6 } else { 1e-5 }
    }
}

/// The position embeddings of encoder and decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum Positions {
    /// The 2-D sin-cos table, which stays as it is
    Sincos,
    /// Random at first, and trained
    Learned,
}

/// How the patches to mask are chosen (paper, Figure 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum MaskStrategy {
    /// Uniformly without replacement.
    Random,
    /// Large rectangles, as in BEiT.
    Block,
    /// A regular lattice: at 75 %, one patch of every 2×2 is kept.
    Grid,
}

/// What is predicted for a hidden patch (paper, Table 1d).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchTarget {
    /// Its pixels.
    #[default]
    Pixels,
    /// Its largest principal components, of the training data's patches.
    Pca {
        /// How many.
        components: usize,
    },
    /// A discrete token, with a cross-entropy loss: the nearest entry of a codebook, which k-means has
    /// found among the training data's patches.
    Codebook {
        /// Entries of the codebook.
        vocabulary: usize,
    },
    /// A discrete token that is given with each picture, such as a dVAE's.
    Tokens {
        /// Number of different tokens.
        vocabulary: usize,
    },
}

impl PatchTarget {
    /// Whether pixels are predicted.
    pub fn is_pixels(&self) -> bool {
        *self == Self::Pixels
    }
}

/// Sizes of one transformer stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackConfig {
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of one head; the paper variant has `dim / heads`.
    pub dim_head: usize,
    /// Hidden width of the MLP.
    pub mlp_dim: usize,
}

impl StackConfig {
    /// A stack with `dim_head = dim / heads` and an MLP of four times the width.
    pub fn new(dim: usize, depth: usize, heads: usize) -> Self {
        Self { dim, depth, heads, dim_head: dim / heads.max(1), mlp_dim: 4 * dim }
    }

    /// Width of all heads together.
    pub fn inner_dim(&self) -> usize {
        self.heads * self.dim_head
    }
}

/// A masked autoencoder's architecture and objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The published form.
    pub variant: Variant,
    /// Image height and width in pixels.
    pub image_size: [usize; 2],
    /// Patch height and width in pixels.
    pub patch_size: [usize; 2],
    /// Channels of the image.
    pub channels: usize,
    /// The encoder's sizes.
    pub encoder: StackConfig,
    /// The decoder's sizes.
    pub decoder: StackConfig,
    /// Share of patches that are masked, in [0, 1).
    pub mask_ratio: f64,
    /// How they are chosen.
    pub mask_strategy: MaskStrategy,
    /// What is predicted.
    #[serde(default, skip_serializing_if = "PatchTarget::is_pixels")]
    pub target: PatchTarget,
    /// Whether pixels to predict are normalised by each patch's mean and (unbiased) variance.
    pub norm_pix_loss: bool,
    /// Feed mask tokens through the encoder as well (paper, Table 1c "encoder w/ \[M\]").
    pub encoder_mask_tokens: bool,
    /// Its positions; none are the variant's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// LayerNorm's epsilon.
    pub layer_norm_eps: f32,
    /// Share of values that training drops in each block of the encoder, in [0, 1): of the attention's probabilities,
    /// behind its projection, behind GELU and behind the MLP.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// The same behind the position embedding, in training with labels: vit-pytorch's autoencoder goes past it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub emb_dropout: f64,
}

fn is_zero(rate: &f64) -> bool {
    *rate == 0.0
}

/// Names of the presets, smallest first.
pub const PRESETS: [&str; 7] = ["nano", "tiny", "small", "vit-b", "vit-l", "vit-h", "plain"];

impl ModelConfig {
    /// A preset of the paper variant by name: `tiny` (32², p4), `small` (96², p8), `vit-b`,
    /// `vit-l` (224², p16), `vit-h` (224², p14); or `plain`, the plain variant's reference size.
    ///
    /// # Errors
    /// [`Error::Config`] for another name.
    pub fn preset(name: &str) -> Result<Self> {
        let published = StackConfig::new(512, 8, 16);
        let (image, patch, encoder, decoder) = match name {
            "nano" => (32, 4, StackConfig::new(96, 4, 3), StackConfig::new(96, 2, 3)),
            "tiny" => (32, 4, StackConfig::new(192, 6, 3), StackConfig::new(96, 2, 3)),
            "small" => (96, 8, StackConfig::new(384, 12, 6), StackConfig::new(192, 4, 6)),
            "vit-b" => (224, 16, StackConfig::new(768, 12, 12), published),
            "vit-l" => (224, 16, StackConfig::new(1024, 24, 16), published),
            "vit-h" => (224, 14, StackConfig::new(1280, 32, 16), published),
            "plain" => return Ok(Self::plain_reference()),
            _ => {
                let problem = format!("no preset {name:?}; one of {}", PRESETS.join(", "));
                return Err(Error::config(Setting::Preset, problem));
            }
        };
        Ok(Self {
            variant: Variant::Paper,
            image_size: [image; 2],
            patch_size: [patch; 2],
            channels: 3,
            encoder,
            decoder,
            mask_ratio: 0.75,
            mask_strategy: MaskStrategy::Random,
            target: PatchTarget::Pixels,
            norm_pix_loss: false,
            encoder_mask_tokens: false,
            positions: None,
            layer_norm_eps: Variant::Paper.layer_norm_eps(),
            dropout: 0.0,
            emb_dropout: 0.0,
        })
    }

    /// ViT(256, patch 32, 1024 × 6, 8 heads × 64, mlp 2048) with a 512 × 6 decoder: the plain
    /// variant as its author shows it.
    fn plain_reference() -> Self {
        let stack = |dim, mlp_dim| StackConfig { dim, depth: 6, heads: 8, dim_head: 64, mlp_dim };
        Self {
            variant: Variant::Plain,
            image_size: [256; 2],
            patch_size: [32; 2],
            channels: 3,
            encoder: stack(1024, 2048),
            decoder: stack(512, 2048),
            mask_ratio: 0.75,
            mask_strategy: MaskStrategy::Random,
            target: PatchTarget::Pixels,
            norm_pix_loss: false,
            encoder_mask_tokens: false,
            positions: None,
            layer_norm_eps: Variant::Plain.layer_norm_eps(),
            dropout: 0.0,
            emb_dropout: 0.0,
        }
    }

    /// Patches per column and per row, `[h, w]`.
    pub fn grid(&self) -> [usize; 2] {
        [self.image_size[0] / self.patch_size[0], self.image_size[1] / self.patch_size[1]]
    }

    /// Number of patches, `L`.
    pub fn num_patches(&self) -> usize {
        let [h, w] = self.grid();
        h * w
    }

    /// Values of one patch, `P = p·q·C`.
    pub fn patch_dim(&self) -> usize {
        self.patch_size[0] * self.patch_size[1] * self.channels
    }

    /// Values that are predicted for one patch.
    pub fn pred_dim(&self) -> usize {
        match self.target {
            PatchTarget::Pixels => self.patch_dim(),
            PatchTarget::Pca { components } => components,
            PatchTarget::Codebook { vocabulary } | PatchTarget::Tokens { vocabulary } => vocabulary,
        }
    }

    /// Values of one image, `C·H·W`.
    pub fn image_len(&self) -> usize {
        self.channels * self.image_size[0] * self.image_size[1]
    }

    /// Number of patches that stay visible. Truncated in float64 as the variant's reference code
    /// does: `int(L·(1−ratio))` kept (paper) or `int(ratio·L)` masked (plain, vit-pytorch).
    pub fn len_keep(&self) -> usize {
        let patches = self.num_patches() as f64;
        if self.variant.masks_smallest() {
            self.num_patches() - (self.mask_ratio * patches) as usize
        } else {
            (patches * (1.0 - self.mask_ratio)) as usize
        }
    }

    /// Number of masked patches.
    pub fn num_masked(&self) -> usize {
        self.num_patches() - self.len_keep()
    }

    /// Rank of the first visible patch in the order of the noise.
    pub fn first_visible(&self) -> usize {
        if self.variant.masks_smallest() { self.num_masked() } else { 0 }
    }

    /// Whether the patch of this rank in the order of the noise is hidden.
    pub fn is_masked(&self, rank: u32) -> bool {
        let first = self.first_visible();
        !(first..first + self.len_keep()).contains(&(rank as usize))
    }

    /// 1 where a cls token leads the sequence, else 0.
    pub fn cls_tokens(&self) -> usize {
        usize::from(self.variant.cls_token())
    }

    /// Tokens in the encoder: cls + visible patches (all patches with `encoder_mask_tokens`).
    pub fn encoder_tokens(&self) -> usize {
        let patches = if self.encoder_mask_tokens { self.num_patches() } else { self.len_keep() };
        self.cls_tokens() + patches
    }

    /// Tokens in the decoder: cls + all patches.
    pub fn decoder_tokens(&self) -> usize {
        self.cls_tokens() + self.num_patches()
    }

    /// Whether positions are trained (`false`: the fixed sin-cos table).
    pub fn learned_positions(&self) -> bool {
        self.positions.unwrap_or(self.variant.positions()) == Positions::Learned
    }

    /// Rows of a position table: one more than patches, for the cls token, except in vit-pytorch's
    /// newer form, whose tables may have no row for it (both lengths occur in its files).
    pub fn position_rows(&self) -> usize {
        self.num_patches() + 1
    }

    /// Checks every field against the others.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Argument`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            (Setting::ImageSize, self.image_size[0]),
            (Setting::ImageSize, self.image_size[1]),
            (Setting::PatchSize, self.patch_size[0]),
            (Setting::PatchSize, self.patch_size[1]),
            (Setting::Channels, self.channels),
        ];
        at_least_one(&positive)?;
        let ([height, width], channels) = (self.image_size, self.channels);
        if product(&[height, width, channels, size_of::<f32>()]).is_none() {
            let problem =
                format!("{height}×{width} × {channels} channels are more than memory can have");
            return Err(Error::config(Setting::ImageSize, problem));
        }
        for (axis, name) in ["height", "width"].into_iter().enumerate() {
            let (image, patch) = (self.image_size[axis], self.patch_size[axis]);
            if image % patch != 0 {
                let down = image / patch * patch;
                let problem = format!(
                    "image {name} {image} is no multiple of patch {name} {patch}; try {} or {}",
                    if down == 0 { patch } else { down },
                    down + patch,
                );
                return Err(Error::config(Setting::ImageSize, problem));
            }
        }
        self.validate_stack(&self.encoder, StackSettings::ENCODER)?;
        self.validate_stack(&self.decoder, StackSettings::DECODER)?;
        if !(0.0..1.0).contains(&self.mask_ratio) {
            let problem = format!("must be in [0, 1), got {}", self.mask_ratio);
            return Err(Error::config(Setting::MaskRatio, problem));
        }
        if self.len_keep() == 0 {
            let problem = format!(
                "{} of {} patches leaves none visible; at most {:.4} works here",
                self.mask_ratio,
                self.num_patches(),
                1.0 - 1.0 / self.num_patches() as f64,
            );
            return Err(Error::config(Setting::MaskRatio, problem));
        }
        if self.encoder_mask_tokens && self.variant != Variant::Paper {
            return Err(Error::config(
                Setting::EncoderMaskTokens,
                "the paper's ablation exists in the paper variant only",
            ));
        }
        if self.norm_pix_loss && !self.target.is_pixels() {
            let problem = "only pixels are normalised by patch; leave it out, or predict pixels";
            return Err(Error::config(Setting::NormPixLoss, problem));
        }
        match self.target {
            PatchTarget::Pca { components } if !(1..=self.patch_dim()).contains(&components) => {
                let dim = self.patch_dim();
                let problem = format!("a patch of {dim} values has 1 to {dim}, got {components}");
                return Err(Error::config(Setting::TargetComponents, problem));
            }
            PatchTarget::Codebook { vocabulary } | PatchTarget::Tokens { vocabulary }
                if !(2..=65_536).contains(&vocabulary) =>
            {
                let problem = format!("must be 2 to 65536, got {vocabulary}");
                return Err(Error::config(Setting::TargetVocabulary, problem));
            }
            _ => {}
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let problem = format!("must be in (0, 1), got {}", self.layer_norm_eps);
            return Err(Error::argument("layer_norm_eps", problem));
        }
        self.validate_dropout(Setting::Dropout, self.dropout)?;
        self.validate_dropout(Setting::EmbDropout, self.emb_dropout)
    }

    fn validate_dropout(&self, setting: Setting, rate: f64) -> Result<()> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::config(setting, format!("must be in [0, 1), got {rate}")));
        }
        if rate > 0.0 && !self.variant.drops_values() {
            return Err(Error::Config {
                setting,
                problem: "the paper's models have none".to_owned(),
                remedies: vec![Remedy::off(setting), Remedy::set(Setting::Variant, "plain")],
            });
        }
        Ok(())
    }

    fn validate_stack(&self, stack: &StackConfig, settings: StackSettings) -> Result<()> {
        let StackConfig { dim, depth, heads, dim_head, mlp_dim } = *stack;
        at_least_one(&[
            (settings.dim, dim),
            (settings.depth, depth),
            (settings.heads, heads),
            (settings.dim_head, dim_head),
            (settings.mlp_dim, mlp_dim),
        ])?;
        if depth > MAX_DEPTH {
            let problem = format!("must be at most {MAX_DEPTH}, got {depth}");
            return Err(Error::config(settings.depth, problem));
        }
        let matrices = [
            (settings.heads, &[dim, 3, heads, dim_head][..]),
            (settings.mlp_dim, &[dim, mlp_dim]),
            (settings.dim, &[dim, self.patch_dim()]),
            (settings.dim, &[dim, self.position_rows()]),
        ];
        for (setting, extents) in matrices {
            if product(extents).and_then(|values| values.checked_mul(size_of::<f32>())).is_none() {
                let problem =
                    format!("a matrix of {extents:?} values is more than memory can have");
                return Err(Error::config(setting, problem));
            }
        }
        if dim_head > MAX_DIM_HEAD {
            return Err(Error::Config {
                setting: settings.dim_head,
                problem: format!("must be at most {MAX_DIM_HEAD}, got {dim_head}"),
                remedies: vec![Remedy::larger(settings.heads)],
            });
        }
        if self.variant == Variant::Paper && heads * dim_head != dim {
            let problem = format!("{heads} heads × {dim_head} are not the width {dim}");
            return Err(Error::config(settings.heads, problem));
        }
        if !self.learned_positions() && dim % 4 != 0 {
            return Err(Error::Config {
                setting: settings.dim,
                problem: format!("must be divisible by 4 for sin-cos positions, got {dim}"),
                remedies: vec![Remedy::set(Setting::Positions, "learned")],
            });
        }
        Ok(())
    }
}

/// Checks numbers that may not be 0.
pub(crate) fn at_least_one(numbers: &[(Setting, usize)]) -> Result<()> {
    match numbers.iter().find(|(_, number)| *number == 0) {
        Some((setting, _)) => Err(Error::config(*setting, "must be at least 1, got 0")),
        None => Ok(()),
    }
}

/// The product, if it can be counted.
fn product(extents: &[usize]) -> Option<usize> {
    extents.iter().try_fold(1_usize, |product, extent| product.checked_mul(*extent))
}

/// The most blocks of a stack: each has a dozen parameters, and the deepest published ViT has 48.
const MAX_DEPTH: usize = 1024;

/// The widest attention head that the attention kernels hold in registers.
pub const MAX_DIM_HEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_sized_as_published() {
        for name in PRESETS {
            ModelConfig::preset(name).unwrap().validate().unwrap();
        }
        let base = ModelConfig::preset("vit-b").unwrap();
        assert_eq!((base.num_patches(), base.len_keep(), base.patch_dim()), (196, 49, 768));
        assert_eq!((base.encoder_tokens(), base.decoder_tokens()), (50, 197));
        assert_eq!(ModelConfig::preset("vit-h").unwrap().num_patches(), 256);
    }

    #[test]
    fn mask_counts_truncate_like_the_reference_code() {
        let mut config = ModelConfig::preset("tiny").unwrap();
        config.image_size = [20, 20];
        config.mask_ratio = 0.8;
        // 25 · (1 − 0.8) is 4.999… in float64.
        assert_eq!(config.len_keep(), 4);
        config.variant = Variant::Plain;
        assert_eq!(config.len_keep(), 5);
    }

    #[test]
    fn refusals_name_the_field_and_the_mend() {
        let mut config = ModelConfig::preset("tiny").unwrap();
        config.image_size = [33, 32];
        assert!(config.validate().unwrap_err().to_string().contains("try 32 or 36"));
        config.image_size = [32, 32];
        config.mask_ratio = 0.999;
        assert!(config.validate().unwrap_err().to_string().contains("leaves none visible"));
        config.mask_ratio = 1.0;
        assert!(config.validate().is_err());
        let refused = |change: fn(&mut ModelConfig)| {
            let mut config = ModelConfig::preset("tiny").unwrap();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.encoder.depth = 1_000_000_000_000).contains("encoder.depth"));
        assert!(refused(|c| c.encoder = StackConfig::new(6, 1, 1)).contains("positions learned"));
        assert!(refused(|c| c.decoder.heads = 0).contains("decoder.heads"));
        assert!(refused(|c| c.patch_size = [0, 4]).contains("patch_size"));
        assert!(refused(|c| c.image_size = [1 << 40, 1 << 40]).contains("image_size"));
        assert!(refused(|c| c.channels = usize::MAX).contains("image_size"));
        assert!(refused(|c| c.encoder.mlp_dim = usize::MAX).contains("encoder.mlp_dim"));
        assert!(refused(|c| c.encoder.dim = usize::MAX).contains("encoder"));
    }

    #[test]
    fn configurations_keep_dropout_and_without_it_are_as_they_were() {
        let whole = ModelConfig::preset("plain").unwrap();
        let text = serde_json::to_string(&whole).unwrap();
        assert!(!text.contains("dropout"), "{text}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), whole);
        let dropping = ModelConfig { dropout: 0.1, emb_dropout: 0.2, ..whole };
        let text = serde_json::to_string(&dropping).unwrap();
        assert!(text.contains(r#""dropout":0.1,"emb_dropout":0.2"#), "{text}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), dropping);
    }

    #[test]
    fn only_shares_are_dropped_and_not_in_the_papers_models() {
        for variant in [Variant::Plain, Variant::VitPytorch, Variant::Paper] {
            for rate in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
                let plain = ModelConfig { variant, ..ModelConfig::preset("tiny").unwrap() };
                let dropping = ModelConfig { dropout: rate, ..plain.clone() };
                let error = dropping.validate().unwrap_err().to_string();
                assert!(error.contains("dropout: must be in [0, 1)"), "{error}");
                let dropping = ModelConfig { emb_dropout: rate, ..plain };
                let error = dropping.validate().unwrap_err().to_string();
                assert!(error.contains("emb_dropout: must be in [0, 1)"), "{error}");
            }
            let dropping =
                ModelConfig { variant, dropout: 0.5, ..ModelConfig::preset("tiny").unwrap() };
            assert_eq!(dropping.validate().is_ok(), variant != Variant::Paper, "{variant:?}");
        }
    }
}
