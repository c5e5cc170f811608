//! Names of `vit_pytorch.MAE` and of the `vit_pytorch.ViT` inside it.

use super::table::{Table, row};

const STACKS: &[(&str, &str)] =
    &[("encoder.transformer.layers.", "blocks."), ("decoder.layers.", "decoder_blocks.")];

/// vit-pytorch up to 0.25 (`vit.py`, `mae.py`): a LayerNorm wraps each function (`PreNorm`).
pub(super) const OLD: Table = Table {
    encoder_prefix: "encoder.",
    stacks: STACKS,
    block: &[
        row("0.norm.", "norm1."),
        row("0.fn.to_qkv.", "attn.qkv."),
        row("0.fn.to_out.0.", "attn.proj."),
        row("1.norm.", "norm2."),
        row("1.fn.net.0.", "mlp.fc1."),
        row("1.fn.net.3.", "mlp.fc2."),
    ],
    top: &[
        row("encoder.to_patch_embedding.1.", "patch_embed.proj."),
        row("encoder.pos_embedding", "pos_embed"),
        row("encoder.cls_token", "cls_token"),
        row("encoder.mlp_head.0.", "fc_norm."),
        row("encoder.mlp_head.1.", "head."),
        row("enc_to_dec.", "decoder_embed."),
        row("mask_token", "mask_token"),
        row("decoder_pos_emb.weight", "decoder_pos_embed"),
        row("to_pixels.", "decoder_pred."),
    ],
    aliases: &[row("patch_to_emb.", "patch_embed.proj.")],
    unused: &[],
};

/// vit-pytorch as of 1.26: LayerNorms live inside attention and feed-forward, surround the patch
/// embedding, and end both transformers.
pub(super) const NEW: Table = Table {
    encoder_prefix: "encoder.",
    stacks: STACKS,
    block: &[
        row("0.norm.", "norm1."),
        row("0.to_qkv.", "attn.qkv."),
        row("0.to_out.0.", "attn.proj."),
        row("1.net.0.", "norm2."),
        row("1.net.1.", "mlp.fc1."),
        row("1.net.4.", "mlp.fc2."),
    ],
    top: &[
        row("encoder.to_patch_embedding.1.", "patch_embed.norm_pre."),
        row("encoder.to_patch_embedding.2.", "patch_embed.proj."),
        row("encoder.to_patch_embedding.3.", "patch_embed.norm_post."),
        row("encoder.pos_embedding", "pos_embed"),
        row("encoder.cls_token", "cls_token"),
        row("encoder.transformer.norm.", "norm."),
        row("encoder.mlp_head.", "head."),
        row("enc_to_dec.", "decoder_embed."),
        row("mask_token", "mask_token"),
        row("decoder_pos_emb.weight", "decoder_pos_embed"),
        row("decoder.norm.", "decoder_norm."),
        row("to_pixels.", "decoder_pred."),
    ],
    aliases: &[
        row("patch_to_emb.0.", "patch_embed.norm_pre."),
        row("patch_to_emb.1.", "patch_embed.proj."),
        row("patch_to_emb.2.", "patch_embed.norm_post."),
    ],
    unused: &[],
};
