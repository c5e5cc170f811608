//! Names of `transformers`' `ViTMAEForPreTraining`, `ViTMAEModel`, `ViTForImageClassification` and
//! `ViTModel`.

use super::table::{Row, Table, row, third};

/// Published checkpoints (and what transformers 4 saves) have the first name of each tensor. Read
/// as well are the module names of transformers 5 (`state_dict()`:
/// `vit.layers.0.attention.q_proj.weight`), and what its `save_pretrained` writes: its renaming
/// backwards of `layers.` also turns `decoder.decoder_layers.` into `decoder.decoder_encoder.layer.`
/// (seen in 5.23.0). Read from `transformers/models/vit_mae/modeling_vit_mae.py` and
/// `transformers/conversion_mapping.py`, version 5.23.0.
pub(super) const TABLE: Table = Table {
    encoder_prefix: "vit.",
    stacks: &[
        ("vit.encoder.layer.", "blocks."),
        ("vit.layers.", "blocks."),
        ("decoder.decoder_layers.", "decoder_blocks."),
        ("decoder.decoder_encoder.layer.", "decoder_blocks."),
    ],
    block: &[
        third("attention.attention.query.", 0),
        third("attention.attention.key.", 1),
        third("attention.attention.value.", 2),
        row("attention.output.dense.", "attn.proj."),
        row("intermediate.dense.", "mlp.fc1."),
        row("output.dense.", "mlp.fc2."),
        row("layernorm_before.", "norm1."),
        row("layernorm_after.", "norm2."),
        third("attention.q_proj.", 0),
        third("attention.k_proj.", 1),
        third("attention.v_proj.", 2),
        row("attention.o_proj.", "attn.proj."),
        row("mlp.fc1.", "mlp.fc1."),
        row("mlp.fc2.", "mlp.fc2."),
    ],
    top: TOP,
    aliases: &[],
    unused: &["vit.pooler."],
};

const TOP: &[Row] = &[
    row("vit.embeddings.cls_token", "cls_token"),
    row("vit.embeddings.position_embeddings", "pos_embed"),
    row("vit.embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    row("vit.layernorm.", "norm."),
    row("decoder.mask_token", "mask_token"),
    row("decoder.decoder_embed.", "decoder_embed."),
    row("decoder.decoder_pos_embed", "decoder_pos_embed"),
    row("decoder.decoder_norm.", "decoder_norm."),
    row("decoder.decoder_pred.", "decoder_pred."),
    row("classifier.", "head."),
];
