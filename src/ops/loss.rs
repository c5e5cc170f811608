//! The masked autoencoder's loss with its gradient, and sums of losses.

use super::optimizer::loss_scale;
use super::row_lanes;
use crate::config::ModelConfig;
use crate::kernels::{loss_sum, masked_loss};
use crate::program::{Recorder, Tensor};

/// What is to be predicted and how it counts.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// Pictures `[B, C, H, W]`, or a row of values for each patch `[B, L, P]`.
    pub values: Tensor,
    /// Batches whose mean loss makes one step (gradient accumulation).
    pub accumulated: usize,
}

/// Adds to `loss [1]` the squared error of `pred [B, T, P]` on the patches that `target [B, T]`
/// names, averaged over a patch's values, then over masked patches, divided by the number of accumulated
/// batches; and sets the gradient of `pred`, of a scaled loss in mixed precision. Returns the loss per token `[B, T]`.
pub fn masked_loss(
    rec: &mut Recorder,
    config: &ModelConfig,
    truth: Truth,
    target: Tensor,
    pred: Tensor,
    loss: Tensor,
) -> Tensor {
    let &[batch, tokens, patch_dim] = rec.shape(pred) else { panic!("pred is [B, T, P]") };
    let masked = (batch * config.num_masked()).max(1) as f32 * truth.accumulated as f32;
    let patch_loss = rec.transient("patch_loss", [batch, tokens]);
    let backward = rec.needs_grad(pred);
    let d_pred = if backward { rec.grad_target(pred).0 } else { rec.unused_out() };
    let [grid_h, grid_w] = config.grid();
    let is_rows = rec.shape(truth.values).len() == 3;
    let [patch_h, patch_w] = if is_rows { [1; 2] } else { config.patch_size };
    let channels = if is_rows { patch_dim } else { config.channels };
    let params = masked_loss::Params {
        tokens: tokens as u32,
        grid_w: grid_w as u32,
        grid_h: grid_h as u32,
        patch_h: patch_h as u32,
        patch_w: patch_w as u32,
        channels: channels as u32,
        count: (batch * tokens) as u32,
        grad_scale: 2.0 / (patch_dim as f32 * masked),
    };
    let state = if backward { loss_scale(rec) } else { None };
    let constants = masked_loss::Constants {
        rows: is_rows,
        norm_pix: config.norm_pix_loss,
        backward,
        scaled: state.is_some(),
        wg: row_lanes(patch_dim),
    };
    let bindings = masked_loss::Bindings {
        images: truth.values,
        token_target: target,
        pred,
        patch_loss,
        d_pred,
        state: state.unwrap_or_else(|| rec.unused()),
    };
    rec.launch(params, constants, bindings, batch * tokens);
    add_loss(rec, patch_loss, 1.0 / masked, loss);
    patch_loss
}

/// `loss [1] += scale · Σ item_loss`.
pub(super) fn add_loss(rec: &mut Recorder, item_loss: Tensor, scale: f32, loss: Tensor) {
    let count = rec.len(item_loss);
    let params = loss_sum::Params { count: count as u32, scale };
    let constants = loss_sum::Constants { wg: row_lanes(count) };
    rec.launch(params, constants, loss_sum::Bindings { item_loss, loss }, 1);
}
