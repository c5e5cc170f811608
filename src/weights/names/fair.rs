//! Names of `facebookresearch/mae` (`models_mae.py`, `models_vit.py`) and of timm's
//! `VisionTransformer`. The internal names are the same, plus the tensors that only other variants
//! have.

use super::table::{Row, Table, row};

/// Every name means itself, but for a linear probe's.
pub(super) const TABLE: Table = Table {
    encoder_prefix: "",
    stacks: &[("blocks.", "blocks."), ("decoder_blocks.", "decoder_blocks.")],
    block: &[
        same("norm1."),
        same("attn.qkv."),
        same("attn.proj."),
        same("norm2."),
        same("mlp.fc1."),
        same("mlp.fc2."),
    ],
    top: &[
        same("cls_token"),
        same("pos_embed"),
        same("patch_embed.norm_pre."),
        same("patch_embed.proj."),
        same("patch_embed.norm_post."),
        same("encoder_mask_token"),
        same("norm."),
        same("fc_norm."),
        same("head_norm.running_mean"),
        same("head_norm.running_var"),
        same("head."),
        // `main_linprobe.py`: BatchNorm and the linear layer as one `Sequential`.
        row("head.0.running_mean", "head_norm.running_mean"),
        row("head.0.running_var", "head_norm.running_var"),
        row("head.1.", "head."),
        same("mask_token"),
        same("decoder_embed."),
        same("decoder_pos_embed"),
        same("decoder_norm."),
        same("decoder_pred."),
        same("target.basis"),
        same("target.codebook"),
        same("target.bias"),
        same("target.mean"),
    ],
    aliases: &[],
    unused: &["head.0.num_batches_tracked"],
};

const fn same(name: &'static str) -> Row {
    row(name, name)
}
