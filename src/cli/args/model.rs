//! Options that describe a model, shared by the commands that make one.

use crate::cli::wording::option;
use crate::config::{MaskStrategy, ModelConfig, PatchTarget, Positions, StackConfig, Variant};
use crate::error::{Error, Result};
use crate::setting::{Setting, StackSettings};

/// The largest image side that is accepted, in pixels.
const MAX_SIDE: usize = 16_384;
/// The largest width and number of anything else that is accepted.
const MAX_SIZE: i64 = 65_536;

/// A preset and what differs from it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Sizes to begin with: nano and tiny (32², patch 4), small (96², patch 8), vit-b, vit-l (224²,
    /// patch 16), vit-h (224², patch 14), plain (256², patch 32) [default: tiny; nano in pre-training
    /// on synthetic]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Published form of the masked autoencoder [default: the preset's]
    #[arg(long)]
    variant: Option<Variant>,
    /// Position embeddings of encoder and decoder: fixed, or random at first and trained [default: sincos in the paper
    /// variant, else learned]
    #[arg(long)]
    positions: Option<Positions>,
    /// Image size in pixels
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    image_size: Option<[usize; 2]>,
    /// Patch size in pixels; the image size is a multiple of it
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    patch_size: Option<[usize; 2]>,
    /// Channels: 1 grey, 3 RGB, 4 RGBA; `synthetic` pictures have any number
    #[arg(long, value_name = "N", value_parser = size())]
    channels: Option<u32>,
    /// Width of the encoder's tokens
    #[arg(long, value_name = "N", value_parser = size())]
    dim: Option<u32>,
    /// The encoder's blocks
    #[arg(long, value_name = "N", value_parser = size())]
    depth: Option<u32>,
    /// The encoder's attention heads
    #[arg(long, value_name = "N", value_parser = size())]
    heads: Option<u32>,
    /// Width of one head [default: dim / heads]
    #[arg(long, value_name = "N", value_parser = size())]
    dim_head: Option<u32>,
    /// Hidden width of the MLPs [default: 4 · dim]
    #[arg(long, value_name = "N", value_parser = size())]
    mlp_dim: Option<u32>,
    /// The same of the decoder
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_dim: Option<u32>,
    /// The decoder's blocks
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_depth: Option<u32>,
    /// The decoder's attention heads
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_heads: Option<u32>,
    /// Width of one of its heads [default: decoder dim / heads]
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_dim_head: Option<u32>,
    /// Hidden width of its MLPs [default: 4 · decoder dim]
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_mlp_dim: Option<u32>,
    /// Share of patches that are hidden, in [0, 1) [default: 0.75]
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true)]
    mask_ratio: Option<f64>,
    /// How hidden patches are chosen [default: random]
    #[arg(long)]
    mask_strategy: Option<MaskStrategy>,
    /// What is predicted for a hidden patch [default: pixels]
    #[arg(long, value_enum)]
    target: Option<TargetArg>,
    /// Components to predict, with --target pca [default: half of a patch's values]
    #[arg(long, value_name = "N", value_parser = size())]
    target_components: Option<u32>,
    /// Number of different tokens, with --target codebook or tokens [default: 512]
    #[arg(long, value_name = "N", value_parser = size())]
    target_vocabulary: Option<u32>,
    /// Predict pixels normalised by each patch's mean and variance
    #[arg(long)]
    norm_pix_loss: bool,
    /// Show mask tokens to the encoder as well (an ablation of the paper)
    #[arg(long)]
    encoder_mask_tokens: bool,
}

/// Targets by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TargetArg {
    /// Its pixels
    Pixels,
    /// Its largest principal components, found in the data
    Pca,
    /// Its nearest entry of a codebook, found in the data by k-means; a cross-entropy loss
    Codebook,
    /// Its token in the file of --tokens; a cross-entropy loss
    Tokens,
}

/// One stack's options, with their names.
struct StackArgs {
    settings: StackSettings,
    dim: Option<u32>,
    depth: Option<u32>,
    heads: Option<u32>,
    dim_head: Option<u32>,
    mlp_dim: Option<u32>,
}

impl ModelArgs {
    /// The preset's name.
    pub(crate) fn preset_name<'a>(&'a self, default_preset: &'a str) -> &'a str {
        self.preset.as_deref().unwrap_or(default_preset)
    }

    /// `[height, width]` and channels of the pictures that the model takes.
    ///
    /// # Errors
    /// [`Error::Config`] for a preset that does not exist.
    pub(crate) fn picture(&self, default_preset: &str) -> Result<([usize; 2], usize)> {
        let preset = ModelConfig::preset(self.preset_name(default_preset))?;
        let channels = self.channels.map_or(preset.channels, |n| n as usize);
        Ok((self.image_size.unwrap_or(preset.image_size), channels))
    }

    /// The model that they describe.
    ///
    /// # Errors
    /// [`Error::Config`] names the option, its value and what would be accepted.
    pub(crate) fn config(&self, default_preset: &str) -> Result<ModelConfig> {
        let mut config = ModelConfig::preset(self.preset_name(default_preset))?;
        if let Some(variant) = self.variant {
            config.variant = variant;
            config.layer_norm_eps = variant.layer_norm_eps();
        }
        config.positions = self.positions;
        (config.image_size, config.channels) = self.picture(default_preset)?;
        config.patch_size = self.patch_size.unwrap_or(config.patch_size);
        config.mask_ratio = self.mask_ratio.unwrap_or(config.mask_ratio);
        config.mask_strategy = self.mask_strategy.unwrap_or(config.mask_strategy);
        config.norm_pix_loss |= self.norm_pix_loss;
        config.target = self.target(config.patch_dim())?;
        config.encoder_mask_tokens |= self.encoder_mask_tokens;
        let encoder = StackArgs {
            settings: StackSettings::ENCODER,
            dim: self.dim,
            depth: self.depth,
            heads: self.heads,
            dim_head: self.dim_head,
            mlp_dim: self.mlp_dim,
        };
        let decoder = StackArgs {
            settings: StackSettings::DECODER,
            dim: self.decoder_dim,
            depth: self.decoder_depth,
            heads: self.decoder_heads,
            dim_head: self.decoder_dim_head,
            mlp_dim: self.decoder_mlp_dim,
        };
        config.encoder = encoder.apply(config.encoder)?;
        config.decoder = decoder.apply(config.decoder)?;
        config.validate()?;
        Ok(config)
    }
}

impl ModelArgs {
    fn target(&self, patch_dim: usize) -> Result<PatchTarget> {
        let target = self.target.unwrap_or(TargetArg::Pixels);
        let counts = [
            (Setting::TargetComponents, self.target_components, vec![TargetArg::Pca]),
            (
                Setting::TargetVocabulary,
                self.target_vocabulary,
                vec![TargetArg::Codebook, TargetArg::Tokens],
            ),
        ];
        for (setting, given, wanted) in counts {
            if given.is_some() && !wanted.contains(&target) {
                let problem = "counts nothing for this target; leave it out, or give its --target";
                return Err(Error::config(setting, problem));
            }
        }
        let vocabulary = self.target_vocabulary.unwrap_or(512) as usize;
        Ok(match target {
            TargetArg::Pixels => PatchTarget::Pixels,
            TargetArg::Pca => PatchTarget::Pca {
                components: self.target_components.map_or(patch_dim.div_ceil(2), |n| n as usize),
            },
            TargetArg::Codebook => PatchTarget::Codebook { vocabulary },
            TargetArg::Tokens => PatchTarget::Tokens { vocabulary },
        })
    }
}

impl StackArgs {
    fn apply(&self, preset: StackConfig) -> Result<StackConfig> {
        let given = |value: Option<u32>, preset: usize| value.map_or(preset, |n| n as usize);
        let (dim, heads) = (given(self.dim, preset.dim), given(self.heads, preset.heads));
        let dim_head = match self.dim_head {
            Some(dim_head) => dim_head as usize,
            None if self.dim.is_none() && self.heads.is_none() => preset.dim_head,
            None if dim.is_multiple_of(heads) => dim / heads,
            None => {
                let problem = uneven_heads(&option(self.settings.dim), dim, heads);
                return Err(Error::config(self.settings.heads, problem));
            }
        };
        let mlp_dim = match self.mlp_dim {
            Some(mlp_dim) => mlp_dim as usize,
            None if self.dim.is_none() => preset.mlp_dim,
            None => 4 * dim,
        };
        Ok(StackConfig { dim, depth: given(self.depth, preset.depth), heads, dim_head, mlp_dim })
    }
}

fn uneven_heads(width: &str, dim: usize, heads: usize) -> String {
    let divides = |n: &usize| dim.is_multiple_of(*n);
    let below = (1..heads).rev().find(divides).unwrap_or(1);
    let above = (heads + 1..=dim).find(divides).unwrap_or(dim);
    let choices = if above > heads { format!("{below} or {above}") } else { below.to_string() };
    format!("{heads} heads do not divide {width} {dim} evenly; try {choices}")
}

/// Parser of a positive number that keeps products of sizes computable.
pub(crate) fn size() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MAX_SIZE)
}

/// Parses `N` or `HxW`.
pub(crate) fn parse_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let side = |text: &str| match text.trim().parse::<usize>() {
        Ok(side) if (1..=MAX_SIDE).contains(&side) => Ok(side),
        _ => Err(format!("{text:?} is no number of pixels from 1 to {MAX_SIDE}; write N or HxW")),
    };
    match text.split_once(['x', 'X', '×']) {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => Ok([side(text)?; 2]),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::wording::message;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        model: ModelArgs,
    }

    fn config(args: &str) -> Result<ModelConfig> {
        let args = std::iter::once("webmae").chain(args.split_whitespace());
        Wrapper::try_parse_from(args).expect("known options").model.config("tiny")
    }

    #[test]
    fn sizes_follow_what_is_given() {
        assert_eq!(config("").unwrap(), ModelConfig::preset("tiny").unwrap());
        let wide = config("--dim 256 --heads 4 --image-size 32x64 --channels 1").unwrap();
        assert_eq!(wide.encoder, StackConfig { depth: 6, ..StackConfig::new(256, 6, 4) });
        assert_eq!((wide.image_size, wide.channels), ([32, 64], 1));
        let plain = config("--preset plain --heads 16 --dim-head 32 --mlp-dim 100").unwrap();
        assert_eq!(plain.encoder.inner_dim(), 512);
        assert_eq!((plain.encoder.mlp_dim, plain.decoder.mlp_dim), (100, 2048));
        assert_eq!(config("--variant plain").unwrap().layer_norm_eps, 1e-5);
        let learned = |args: &str| config(args).unwrap().learned_positions();
        assert!(!learned("") && learned("--variant plain") && learned("--positions learned"));
        assert!(!learned("--variant plain --positions sincos"));
    }

    #[test]
    fn refusals_name_the_option_and_the_mend() {
        let message = |args: &str| message(&config(args).unwrap_err());
        assert!(message("--dim 256").contains("--heads: 3 heads do not divide --dim 256"));
        assert!(message("--dim 256").contains("try 2 or 4"));
        assert!(message("--image-size 33").contains("--image-size: image height 33"));
        assert!(message("--mask-ratio 1.0").contains("--mask-ratio: must be in [0, 1)"));
        assert!(message("--mask-ratio nan").contains("--mask-ratio"));
        assert!(
            message("--preset huge").contains("--preset: no preset \"huge\"; one of nano, tiny")
        );
        assert!(message("--dim 126 --heads 3").contains("--dim: must be divisible by 4"));
        assert!(message("--dim 126 --heads 3").contains("try --positions learned"));
        assert!(message("--encoder-mask-tokens --variant plain").contains("--encoder-mask-tokens"));
    }

    #[test]
    fn sizes_are_one_number_or_two() {
        assert_eq!(parse_size("96"), Ok([96, 96]));
        assert_eq!(parse_size("96x128"), Ok([96, 128]));
        for bad in ["", "0", "x", "96x", "-1", "1e9", "999999999999"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
