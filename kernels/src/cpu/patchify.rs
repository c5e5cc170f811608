//! From images to rows of pixels.

use super::Value;
use super::parallel::{self, Shared};
use crate::patchify::{Constants, Params, Slices};

/// Pixels of patches as rows: all of them, or (`gather`) the visible ones in shuffled order. Pixels are
/// flattened as (row, column, channel), or as (channel, row, column) with `channel_first`.
pub fn patchify<A: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A>) {
    let [rows, first, patches, grid_w, patch_h, patch_w, channels, count] = [
        params.rows,
        params.first,
        params.patches,
        params.grid_w,
        params.patch_h,
        params.patch_w,
        params.channels,
        params.count,
    ]
    .map(|size| size as usize);
    let patch_dim = patch_h * patch_w * channels;
    let (width, height) = (grid_w * patch_w, patches / grid_w * patch_h);
    // Places of neighbouring channels and columns in a row of the result.
    let (along_c, along_x) =
        if constants.channel_first { (patch_h * patch_w, 1) } else { (1, channels) };
    let out = Shared::new(slices.out);
    parallel::ranges(count / patch_dim, parallel::rows_per_task(patch_dim), |range| {
        for row in range {
            let (b, i) = (row / rows, row % rows);
            let patch = if constants.gather {
                slices.ids_shuffle[b * patches + first + i] as usize
            } else {
                i
            };
            let (top, left) = (patch / grid_w * patch_h, patch % grid_w * patch_w);
            // SAFETY: a row belongs to one task.
            let out = unsafe { out.part(row * patch_dim, patch_dim) };
            for c in 0..channels {
                for y in 0..patch_h {
                    let line = ((b * channels + c) * height + top + y) * width + left;
                    let to = c * along_c + y * patch_w * along_x;
                    for (x, &pixel) in slices.images[line..line + patch_w].iter().enumerate() {
                        out[to + x * along_x] = A::of(pixel);
                    }
                }
            }
        }
    });
}
