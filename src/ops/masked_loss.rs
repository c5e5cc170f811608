//! The masked autoencoder's loss with its gradient, and sums of losses.

use super::optim::loss_scale;
use super::row_lanes;
use crate::config::ModelConfig;
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
    let sizes = [tokens, grid_w, grid_h, patch_h, patch_w, channels, batch * tokens];
    let mut uniform = sizes.map(|n| n as u32).to_vec();
    uniform.push((2.0 / (patch_dim as f32 * masked)).to_bits());
    let scale = if backward { loss_scale(rec) } else { None };
    let constants = [
        ("ROWS", u32::from(is_rows)),
        ("NORM_PIX", u32::from(config.norm_pix_loss)),
        ("BACKWARD", u32::from(backward)),
        ("SCALED", u32::from(scale.is_some())),
        ("WG", row_lanes(rec, patch_dim)),
    ];
    let scale = scale.unwrap_or_else(|| rec.unused());
    let bindings = [truth.values, target, pred, patch_loss, d_pred, scale];
    rec.dispatch("masked_loss", &constants, &uniform, &bindings, batch * tokens);
    add_loss(rec, patch_loss, 1.0 / masked, loss);
    patch_loss
}

/// `loss [1] += scale · Σ item_loss`.
pub(super) fn add_loss(rec: &mut Recorder, item_loss: Tensor, scale: f32, loss: Tensor) {
    let count = rec.len(item_loss);
    let lanes = [("WG", row_lanes(rec, count))];
    let uniform = [count as u32, scale.to_bits()];
    rec.dispatch("loss_sum", &lanes, &uniform, &[item_loss, loss], 1);
}
