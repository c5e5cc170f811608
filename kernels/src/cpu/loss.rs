//! Losses of masked patches.

use super::parallel::{self, Scratch, Shared};
use super::vector::sum;
use super::{NONE, Value};
use crate::masked_loss::{Constants, Params, Slices};
use crate::{State, loss_sum as total};

/// Added to the variance of a patch (facebookresearch/mae).
const NORM_PIX_EPS: f32 = 1e-6;

/// The factor by which a loss is scaled in mixed precision, lest small gradients vanish in f16.
pub(super) fn loss_scale(scaled: bool, state: &State) -> f32 {
    if scaled { state.loss_scale } else { 1.0 }
}

/// Mean squared error on the masked patches, forward and backward at once: each token's patch is read from the
/// image, normalised by its own mean and unbiased variance if asked (or it is a row of other values, `rows`).
/// Tokens without a target (cls, visible patches) get a zero gradient.
pub fn masked_loss<A: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A>) {
    let patch_dim = (params.patch_h * params.patch_w * params.channels) as usize;
    let grad_scale = params.grad_scale * loss_scale(constants.scaled, slices.state);
    let (patch_loss, d_pred) = (Shared::new(slices.patch_loss), Shared::new(slices.d_pred));
    parallel::ranges(params.count as usize, parallel::rows_per_task(patch_dim), |tokens| {
        let mut target = Scratch::new(patch_dim);
        for token in tokens {
            let range = token * patch_dim..(token + 1) * patch_dim;
            let patch = slices.token_target[token];
            let pred = &slices.pred[range.clone()];
            // SAFETY: a token belongs to one task.
            let loss = unsafe { &mut patch_loss.part(token, 1)[0] };
            // SAFETY: as above. Without a backward pass nothing is bound there.
            let d_pred = constants.backward.then(|| unsafe { d_pred.part(range.start, patch_dim) });
            if patch == NONE {
                *loss = 0.0;
                if let Some(d_pred) = d_pred {
                    d_pred.fill(A::of(0.0));
                }
                continue;
            }
            let sample = token / params.tokens as usize;
            read_patch(params, constants.rows, slices.images, sample, patch as usize, &mut target);
            if constants.norm_pix {
                normalise(&mut target);
            }
            *loss = squares_of_row(pred, &target) / patch_dim as f32;
            if let Some(d_pred) = d_pred {
                for ((d, pred), target) in d_pred.iter_mut().zip(pred).zip(&*target) {
                    *d = A::of((pred.get() - target) * grad_scale);
                }
            }
        }
    });
}

/// The values of a patch as the decoder predicts them: pixels (row, column, channel), or a row of values.
fn read_patch(
    params: &Params,
    rows: bool,
    images: &[f32],
    sample: usize,
    patch: usize,
    target: &mut [f32],
) {
    let [grid_w, grid_h, patch_h, patch_w, channels] =
        [params.grid_w, params.grid_h, params.patch_h, params.patch_w, params.channels]
            .map(|size| size as usize);
    if rows {
        let row = sample * grid_w * grid_h + patch;
        target.copy_from_slice(&images[row * channels..(row + 1) * channels]);
        return;
    }
    let (width, height) = (grid_w * patch_w, grid_h * patch_h);
    let (top, left) = (patch / grid_w * patch_h, patch % grid_w * patch_w);
    for c in 0..channels {
        for y in 0..patch_h {
            let line = ((sample * channels + c) * height + top + y) * width + left;
            for (x, &pixel) in images[line..line + patch_w].iter().enumerate() {
                target[(y * patch_w + x) * channels + c] = pixel;
            }
        }
    }
}

vectorised! {
    /// Subtracts the mean and divides by the deviation, of the unbiased variance.
    fn normalise(patch: &mut [f32]) {
        let len = patch.len();
        let mean = sum(patch, |x| x) / len as f32;
        let variance = sum(patch, |x| (x - mean) * (x - mean)) / (len.max(2) - 1) as f32;
        let rstd = 1.0 / (variance + NORM_PIX_EPS).sqrt();
        for x in patch {
            *x = (*x - mean) * rstd;
        }
    }
}

vectorised! {
    fn squares_of_row<A: Value>(pred: &[A], target: &[f32]) -> f32 {
        super::vector::sum2(pred, target, |pred, target| (pred - target) * (pred - target))
    }
}

/// Adds the scaled sum of per-item losses to the step's loss.
pub fn loss_sum(params: &total::Params, _: &total::Constants, slices: total::Slices<'_>) {
    slices.loss[0] += added_up(&slices.item_loss[..params.count as usize]) * params.scale;
}

vectorised! {
    fn added_up(x: &[f32]) -> f32 {
        sum(x, |x| x)
    }
}
