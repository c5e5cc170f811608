//! Cross entropy with its gradient.

use super::loss::add_loss;
use super::optimizer::loss_scale;
use super::row_lanes;
use crate::kernels::cross_entropy;
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
        Target::Labels { labels, smoothing } => (labels, rec.unused(), smoothing, false),
        Target::Soft(targets) => (rec.unused(), targets, 0.0, true),
    };
    let (d_logits, _) = rec.grad_target(logits);
    let scale = 1.0 / count as f32;
    let params = cross_entropy::Params {
        rows: rows as u32,
        classes: classes as u32,
        smoothing,
        grad_scale: scale,
    };
    let state = loss_scale(rec);
    let constants =
        cross_entropy::Constants { soft, scaled: state.is_some(), wg: row_lanes(classes) };
    let state = state.unwrap_or_else(|| rec.unused());
    let bindings = cross_entropy::Bindings { logits, labels, targets, row_loss, d_logits, state };
    rec.launch(params, constants, bindings, rows);
    add_loss(rec, row_loss, scale, loss);
    row_loss
}
