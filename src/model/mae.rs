//! The masked autoencoder's forward pass, in the paper's order, for every variant.

use super::block::{block, blocks, norm, projection, qkv};
use super::drops::{BlockDrops, Drops};
use crate::config::{ModelConfig, Variant};
use crate::ops::{
    Flatten, Layout, MaskIds, TokenMaps, argsort, assemble_tokens, dropout, patchify, token_maps,
};
use crate::program::{Recorder, Tensor};

/// What a recorded forward pass yields.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The masks' orders, `[B, L]` each.
    pub ids: MaskIds,
    /// Encoder's input `[B, T, D]`.
    pub encoder_input: Tensor,
    /// Output of every encoder block `[B, T, D]`.
    pub encoder_blocks: Vec<Tensor>,
    /// Encoder's output, after the final norm where there is one, `[B, T, D]`.
    pub latent: Tensor,
}

/// What a recorded decoder yields.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Decoder's input `[B, U, E]`.
    pub decoder_input: Tensor,
    /// Output of every decoder block `[B, U, E]`.
    pub decoder_blocks: Vec<Tensor>,
    /// What the pixels are predicted from: the last block's output, after the final norm where
    /// there is one, `[B, U, E]`.
    pub decoder_output: Tensor,
    /// Predicted pixels `[B, U, P]` of every decoder token, (row, column, channel).
    pub pred: Tensor,
    /// Patch that each token must predict, or none, `[B, U]`.
    pub target: Tensor,
}

/// Encoder on the visible patches of `images [B, C, H, W]`, which `noise [B, L]` decides. It drops what `drops` says.
pub fn encode(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    noise: Tensor,
    drops: Drops,
) -> Forward {
    rec.set_scope("mask");
    let ids = argsort(rec, noise);
    rec.set_scope("patch_embed");
    let visible = Some((ids.shuffle, config.first_visible(), config.len_keep()));
    let patches = patch_embed(rec, config, images, visible);
    let layout = if config.encoder_mask_tokens { Layout::PatchOrder } else { Layout::Shuffled };
    let extents = [config.encoder_tokens(), config.len_keep()];
    let maps = token_maps(rec, config, ids, layout, extents, false, 1);
    let tokens = encoder_tokens(rec, maps, patches);
    encode_tokens(rec, config, ids, tokens, drops)
}

/// Encoder on all patches, in order, behind `cls` (0 or 1) cls tokens: features never mask. It drops what `drops` says.
pub fn encode_all(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    cls: usize,
    drops: Drops,
) -> Forward {
    let (ids, tokens) = all_tokens(rec, config, images, cls);
    encode_tokens(rec, config, ids, tokens, drops)
}

/// Queries, keys and values `[B, T, 3·H·d]` of encoder block `number` on all patches, in order.
pub fn encode_to_qkv(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    number: usize,
) -> Tensor {
    let (_, mut x) = all_tokens(rec, config, images, config.cls_tokens());
    for i in 0..number {
        let (name, eps) = (format!("blocks.{i}"), config.layer_norm_eps);
        x = block(rec, &name, &config.encoder, eps, x, BlockDrops::default());
    }
    qkv(rec, &format!("blocks.{number}"), config.layer_norm_eps, x)
}

/// All patches of `images`, behind `cls` cls tokens, as the encoder's input.
fn all_tokens(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    cls: usize,
) -> (MaskIds, Tensor) {
    let batch = rec.len(images) / config.image_len();
    rec.set_scope("patch_embed");
    let patches = patch_embed(rec, config, images, None);
    // The layout ignores the order of patches; the maps' kernel still binds one.
    let unordered = rec.external("no order", [batch, config.num_patches()]);
    let ids = MaskIds { shuffle: unordered, restore: unordered };
    let extents = [cls + config.num_patches(), config.num_patches()];
    let maps = token_maps(rec, config, ids, Layout::AllTokens, extents, false, 1);
    (ids, encoder_tokens(rec, maps, patches))
}

/// Pixels of patches to tokens `[B, n, D]`.
fn patch_embed(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    visible: Option<(Tensor, usize, usize)>,
) -> Tensor {
    let eps = config.layer_norm_eps;
    let flatten = if config.variant.channel_first_patches() {
        Flatten::ChannelFirst
    } else {
        Flatten::ChannelLast
    };
    let mut x = patchify(rec, config, images, flatten, rec.precision(), visible);
    if config.variant.patch_norms() {
        x = norm(rec, "patch_embed.norm_pre", eps, x);
    }
    x = projection(rec, "patch_embed.proj", x);
    if config.variant.patch_norms() {
        x = norm(rec, "patch_embed.norm_post", eps, x);
    }
    x
}

/// The encoder's input `[B, T, D]`: patches with cls and mask tokens where there are any, and positions.
fn encoder_tokens(rec: &mut Recorder, maps: TokenMaps, patches: Tensor) -> Tensor {
    let (cls, mask) = (rec.find_param("cls_token"), rec.find_param("encoder_mask_token"));
    let positions = rec.param("pos_embed");
    assemble_tokens(rec, maps, patches, cls, mask, positions)
}

fn encode_tokens(
    rec: &mut Recorder,
    config: &ModelConfig,
    ids: MaskIds,
    encoder_input: Tensor,
    drops: Drops,
) -> Forward {
    let eps = config.layer_norm_eps;
    let stack = &config.encoder;
    let encoder_input =
        drops.embedding.map_or(encoder_input, |values| dropout(rec, encoder_input, values));
    let encoder_blocks = blocks(rec, "blocks", stack, eps, encoder_input, drops);
    let mut x = *encoder_blocks.last().unwrap_or(&encoder_input);
    if rec.find_param("norm.weight").is_some() {
        rec.set_scope("norm");
        x = norm(rec, "norm", eps, x);
    }
    Forward { ids, encoder_input, encoder_blocks, latent: x }
}

/// Decoder on the encoder's output. It drops nothing, in no reference.
pub fn decode(rec: &mut Recorder, config: &ModelConfig, encoded: &Forward) -> Decoded {
    let eps = config.layer_norm_eps;
    rec.set_scope("decoder_embed");
    let mut x = encoded.latent;
    if rec.find_param("decoder_embed.weight").is_some() {
        x = projection(rec, "decoder_embed", x);
    }
    let layout = match (config.variant.unshuffles(), config.encoder_mask_tokens) {
        (false, _) => Layout::Concatenated,
        (true, false) => Layout::PatchOrder,
        (true, true) => Layout::AllTokens,
    };
    let extents = [config.decoder_tokens(), config.encoder_tokens()];
    // The cls token's row comes first in the paper's table; the others have none in the decoder.
    let row_offset = usize::from(config.variant == Variant::Paper);
    let cls_given = config.variant.cls_token();
    let maps = token_maps(rec, config, encoded.ids, layout, extents, cls_given, row_offset);
    let mask_token = rec.find_param("mask_token");
    let positions = rec.param("decoder_pos_embed");
    let decoder_input = assemble_tokens(rec, maps, x, None, mask_token, positions);
    let stack = &config.decoder;
    let drops = Drops::default();
    let decoder_blocks = blocks(rec, "decoder_blocks", stack, eps, decoder_input, drops);
    x = *decoder_blocks.last().unwrap_or(&decoder_input);
    rec.set_scope("decoder_pred");
    if config.variant.final_norms() {
        x = norm(rec, "decoder_norm", eps, x);
    }
    let pred = projection(rec, "decoder_pred", x);
    Decoded { decoder_input, decoder_blocks, decoder_output: x, pred, target: maps.target }
}
