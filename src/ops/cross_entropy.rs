//! Cross entropy with its gradient.

use super::masked_loss::add_loss;
use super::optim::loss_scale;
use super::row_lanes;
use crate::program::{Recorder, Tensor};

/// What the logits should say.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Class numbers, one a row (u32), smoothed: `1 − s` more on the class, `s / C` on every one. Without
    /// smoothing a row whose number is no class has neither loss nor gradient.
    Labels {
        /// The numbers.
        labels: Tensor,
        /// `s`, in [0, 1).
        smoothing: f32,
    },
    /// Probabilities, shaped like the logits.
    Soft(Tensor),
}

/// Adds to `loss [1]` the cross entropy of `logits [.., C]`, summed over rows and divided by `count`,
/// and sets their gradient, of a scaled loss in mixed precision. Returns each row's own `[rows]`.
pub fn cross_entropy(
    rec: &mut Recorder,
    logits: Tensor,
    target: Target,
    count: usize,
    loss: Tensor,
) -> Tensor {
    let (rows, classes) = rec.rows_and_dim(logits);
    let row_loss = rec.transient("row_loss", [rows]);
    let (labels, targets, smoothing, soft) = match target {
        Target::Labels { labels, smoothing } => (labels, rec.unused(), smoothing, 0),
        Target::Soft(targets) => (rec.unused(), targets, 0.0, 1),
    };
    let (d_logits, _) = rec.grad_target(logits);
    let scale = 1.0 / count as f32;
    let uniform = [rows as u32, classes as u32, smoothing.to_bits(), scale.to_bits()];
    let factor = loss_scale(rec);
    let scaled = u32::from(factor.is_some());
    let constants = [("SOFT", soft), ("SCALED", scaled), ("WG", row_lanes(rec, classes))];
    let factor = factor.unwrap_or_else(|| rec.unused());
    let bindings = [logits, labels, targets, row_loss, d_logits, factor];
    rec.dispatch("cross_entropy", &constants, &uniform, &bindings, rows);
    add_loss(rec, row_loss, scale, loss);
    row_loss
}
