//! Names of OpenMMLab's `mmpretrain` (and of `mmselfsup` before it): its `VisionTransformer` and `MAEViT` below
//! `backbone.`, `MAEPretrainDecoder` below `neck.`, its classifiers' heads below `head.`.

use super::table::{Row, Table, row};

/// Read from `mmpretrain/models/backbones/vision_transformer.py`, `necks/mae_neck.py` and
/// `heads/{vision_transformer_head,linear_head}.py`, version 1.2. Features are pooled before `ln2` where a model has
/// it (`out_type="avg_featmap"`).
pub(super) const TABLE: Table = Table {
    encoder_prefix: "backbone.",
    stacks: &[("backbone.layers.", "blocks."), ("neck.decoder_blocks.", "decoder_blocks.")],
    block: &[
        row("ln1.", "norm1."),
        row("attn.qkv.", "attn.qkv."),
        row("attn.proj.", "attn.proj."),
        row("ln2.", "norm2."),
        row("ffn.layers.0.0.", "mlp.fc1."),
        row("ffn.layers.1.", "mlp.fc2."),
    ],
    top: TOP,
    aliases: &[],
    unused: &["data_preprocessor."],
};

const TOP: &[Row] = &[
    row("backbone.cls_token", "cls_token"),
    row("backbone.pos_embed", "pos_embed"),
    row("backbone.patch_embed.projection.", "patch_embed.proj."),
    row("backbone.ln1.", "norm."),
    row("backbone.ln2.", "fc_norm."),
    row("neck.mask_token", "mask_token"),
    row("neck.decoder_embed.", "decoder_embed."),
    row("neck.decoder_pos_embed", "decoder_pos_embed"),
    row("neck.ln1.", "decoder_norm."),
    row("neck.decoder_pred.", "decoder_pred."),
    row("head.layers.head.", "head."),
    row("head.fc.", "head."),
];
