//! Cross entropy with labels (smoothed) or with soft targets, forward and backward at once.

use multiversion::target::target_cfg_f;

use super::Value;
use super::loss::loss_scale;
use super::math::exp;
use super::parallel::{self, Scratch, Shared};
use super::vector::{max, sum};
use crate::cross_entropy::{Constants, Params, Slices};

/// By rows: `loss = Σ t·(lse − x)` and `dx = (softmax·Σt − t)·scale`.
pub fn cross_entropy<A: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A>) {
    let (rows, classes) = (params.rows as usize, params.classes as usize);
    let scale = params.grad_scale * loss_scale(constants.scaled, slices.state);
    let (row_loss, d_logits) = (Shared::new(slices.row_loss), Shared::new(slices.d_logits));
    parallel::ranges(rows, parallel::rows_per_task(classes), |rows| {
        let mut targets = Scratch::new(classes);
        for row in rows {
            let range = row * classes..(row + 1) * classes;
            if constants.soft {
                targets.copy_from_slice(&slices.targets[range.clone()]);
            } else {
                targets.fill(params.smoothing / params.classes as f32);
                if let Some(wanted) = targets.get_mut(slices.labels[row] as usize) {
                    *wanted += 1.0 - params.smoothing;
                }
            }
            // SAFETY: a row belongs to one task.
            let (loss, d_logits) =
                unsafe { (row_loss.part(row, 1), d_logits.part(range.start, classes)) };
            loss[0] = loss_of_row(&slices.logits[range], &targets, scale, d_logits);
        }
    });
}

vectorised! {
    fn loss_of_row<A: Value>(logits: &[A], targets: &[f32], scale: f32, d_logits: &mut [A]) -> f32 {
        const FUSED: bool = target_cfg_f!(target_feature = "fma");
        let maximum = max(logits, -3.0e38);
        let total = sum(logits, |x| exp::<FUSED>(x - maximum));
        let total_target = sum(targets, |t| t);
        let log_sum = total.ln();
        for ((d, x), t) in d_logits.iter_mut().zip(logits).zip(targets) {
            *d = A::of((exp::<FUSED>(x.get() - maximum) / total * total_target - t) * scale);
        }
        super::vector::sum2(logits, targets, |x, t| t * (log_sum - (x - maximum)))
    }
}
