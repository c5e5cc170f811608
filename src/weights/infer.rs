//! A model's configuration, read off its weights.

use super::names::{Format, internal_shapes};
use crate::config::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};
use crate::error::{Error, Result};
use crate::remedy::Remedy;
use crate::setting::Setting;
use crate::tensor::Shapes;

/// What weights alone cannot tell. An absent value is guessed: heads from the published widths
/// (paper) or from heads of 64 values (plain variants), square images and patches, 3 channels
/// (plain variants), mask ratio 0.75, raw-pixel targets, the code base's default LayerNorm epsilon.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overrides {
    /// The encoder's attention heads.
    pub encoder_heads: Option<usize>,
    /// The decoder's attention heads.
    pub decoder_heads: Option<usize>,
    /// Image height and width in pixels.
    pub image_size: Option<[usize; 2]>,
    /// Patch height and width in pixels.
    pub patch_size: Option<[usize; 2]>,
    /// Channels of the image.
    pub channels: Option<usize>,
    /// Share of masked patches.
    pub mask_ratio: Option<f64>,
    /// Whether targets are normalised by patch; FAIR's `mae_pretrain` weights were trained with it.
    pub norm_pix_loss: Option<bool>,
    /// LayerNorm's epsilon.
    pub layer_norm_eps: Option<f32>,
}

/// Heads by width: the ViT sizes of timm and the paper, and FAIR's decoder.
const KNOWN_HEADS: [(usize, usize); 6] =
    [(192, 3), (384, 6), (512, 16), (768, 12), (1024, 16), (1280, 16)];

/// Infers the configuration from a state dict under its file's names. A file without a decoder gets
/// the published one (512 × 8, 16 heads) as a starting point for pre-training.
///
/// # Errors
/// [`Error::BadWeights`] when a tensor that tells a size is missing or odd; [`Error::Config`] when a size stays
/// unknown, about the setting that gives it, or when the sizes do not fit together.
pub fn infer_config(format: Format, file: &Shapes, overrides: &Overrides) -> Result<ModelConfig> {
    let shapes = Internal(internal_shapes(format, file));
    let variant = format.variant().map_or_else(|| shapes.variant(), Ok)?;
    let (patch_size, channels) = shapes.patch(variant, overrides)?;
    let config = ModelConfig {
        variant,
        image_size: shapes.image_size(variant, patch_size, overrides)?,
        patch_size,
        channels,
        encoder: shapes.stack("blocks", variant, overrides.encoder_heads, Setting::EncoderHeads)?,
        decoder: if shapes.0.contains_key("decoder_blocks.0.norm1.weight") {
            let heads = overrides.decoder_heads;
            shapes.stack("decoder_blocks", variant, heads, Setting::DecoderHeads)?
        } else {
            StackConfig::new(512, 8, overrides.decoder_heads.unwrap_or(16))
        },
        mask_ratio: overrides.mask_ratio.unwrap_or(0.75),
        mask_strategy: MaskStrategy::Random,
        target: PatchTarget::Pixels,
        norm_pix_loss: overrides.norm_pix_loss.unwrap_or(false),
        encoder_mask_tokens: shapes.0.contains_key("encoder_mask_token"),
        positions: None,
        layer_norm_eps: overrides.layer_norm_eps.unwrap_or_else(|| layer_norm_eps(format, variant)),
        dropout: 0.0,
        emb_dropout: 0.0,
    };
    config.validate()?;
    Ok(config)
}

/// The code base's default; published Hugging Face models keep that of `ViTMAEConfig`.
fn layer_norm_eps(format: Format, variant: Variant) -> f32 {
    match format {
        Format::HuggingFaceMae | Format::HuggingFaceVit => 1e-12,
        _ => variant.layer_norm_eps(),
    }
}

/// Shapes by internal name.
struct Internal(Shapes);

impl Internal {
    fn get<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let bad = |found: &str| Error::BadWeights {
            problem: format!(
                "the model's sizes cannot be read off the tensors: {name} is {found}, {N} \
                 dimensions are needed"
            ),
        };
        let shape = self.0.get(name).ok_or_else(|| bad("missing"))?;
        shape.as_slice().try_into().map_err(|_| bad(&format!("{shape:?}")))
    }

    /// Which variant a file with internal names holds.
    fn variant(&self) -> Result<Variant> {
        if self.0.contains_key("patch_embed.norm_pre.weight") {
            return Ok(Variant::VitPytorch);
        }
        let flat = self.0.get("patch_embed.proj.weight").is_some_and(|shape| shape.len() == 2);
        Ok(if flat { Variant::Plain } else { Variant::Paper })
    }

    fn patch(&self, variant: Variant, overrides: &Overrides) -> Result<([usize; 2], usize)> {
        if variant == Variant::Paper {
            let [_, channels, p, q] = self.get("patch_embed.proj.weight")?;
            return Ok(([p, q], channels));
        }
        let [_, patch_dim] = self.get("patch_embed.proj.weight")?;
        let channels = overrides.channels.unwrap_or(3).max(1);
        let patch_size = match overrides.patch_size {
            Some(size) => size,
            None => [square_side(patch_dim / channels).unwrap_or(0); 2],
        };
        if patch_size[0].saturating_mul(patch_size[1]).saturating_mul(channels) != patch_dim {
            let problem = format!(
                "a patch has {patch_dim} values, which are no {channels} channels of a {} patch",
                match overrides.patch_size {
                    Some([p, q]) => format!("{p}×{q}"),
                    None => "square".to_owned(),
                },
            );
            return Err(Error::Config {
                setting: Setting::PatchSize,
                problem,
                remedies: vec![Remedy::on(Setting::PatchSize).and(Remedy::on(Setting::Channels))],
            });
        }
        Ok((patch_size, channels))
    }

    fn image_size(
        &self,
        variant: Variant,
        patch_size: [usize; 2],
        overrides: &Overrides,
    ) -> Result<[usize; 2]> {
        if let Some(size) = overrides.image_size {
            return Ok(size);
        }
        let rows = match self.0.get("pos_embed").map(Vec::as_slice) {
            Some(&[.., rows, _]) => rows,
            _ => self.get::<3>("pos_embed")?[1],
        };
        let with_cls = rows.checked_sub(1).and_then(square_side);
        let side = match variant {
            Variant::Paper => with_cls,
            // Both lengths occur in vit-pytorch's files.
            Variant::Plain | Variant::VitPytorch => with_cls.or(square_side(rows)),
        };
        let Some(side) = side.filter(|side| *side > 0) else {
            let problem = format!(
                "pos_embed has {rows} rows, which is no square grid (and a cls token); give the size"
            );
            return Err(Error::config(Setting::ImageSize, problem));
        };
        Ok(patch_size.map(|patch| side.saturating_mul(patch)))
    }

    fn stack(
        &self,
        name: &str,
        variant: Variant,
        given: Option<usize>,
        setting: Setting,
    ) -> Result<StackConfig> {
        let [dim] = self.get(&format!("{name}.0.norm1.weight"))?;
        let [mlp_dim, _] = self.get(&format!("{name}.0.mlp.fc1.weight"))?;
        let [qkv, _] = self.get(&format!("{name}.0.attn.qkv.weight"))?;
        let inner = qkv / 3;
        let depth =
            (0..).take_while(|i| self.0.contains_key(&format!("{name}.{i}.norm1.weight"))).count();
        let identity = !self.0.contains_key(&format!("{name}.0.attn.proj.weight"));
        let known = KNOWN_HEADS.iter().find(|(width, _)| *width == dim).map(|(_, heads)| *heads);
        let heads = match (given, variant) {
            (Some(heads), _) => Some(heads),
            (None, Variant::Paper) => known,
            (None, _) if identity => Some(1),
            (None, _) => (inner % 64 == 0).then_some(inner / 64),
        };
        let Some(heads) = heads.filter(|h| *h > 0 && inner.is_multiple_of(*h)) else {
            let why = match given {
                Some(heads) => format!("cannot be {heads} equal heads"),
                None => "are no equal heads of a known size; give their number".to_owned(),
            };
            let problem =
                format!("{name} has width {dim} and {inner} attention values, which {why}");
            return Err(Error::config(setting, problem));
        };
        Ok(StackConfig { dim, depth, heads, dim_head: inner / heads, mlp_dim })
    }
}

/// The side of a square of `area`.
fn square_side(area: usize) -> Option<usize> {
    let side = area.isqrt();
    (side * side == area).then_some(side)
}
