//! Images to rows of patch pixels.

use super::groups_of_lanes;
use crate::config::ModelConfig;
use crate::kernels::{Precision, patchify};
use crate::program::{Recorder, Tensor};

/// Order of a patch's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flatten {
    /// (channel, row, column), like a convolution's weight.
    ChannelFirst,
    /// (row, column, channel).
    ChannelLast,
}

/// `images [B, C, H, W] → [B, L, P]`, kept in `precision`; with `visible = (ids_shuffle, first, n)` only
/// the `n` patches from rank `first` on, in that order.
pub fn patchify(
    rec: &mut Recorder,
    config: &ModelConfig,
    images: Tensor,
    flatten: Flatten,
    precision: Precision,
    visible: Option<(Tensor, usize, usize)>,
) -> Tensor {
    let batch = rec.len(images) / config.image_len();
    let patches = config.num_patches();
    let (ids, first, rows) = visible.unwrap_or((rec.unused(), 0, patches));
    let out = rec.transient_of(precision, "patches", [batch, rows, config.patch_dim()]);
    let count = rec.len(out);
    let constants = patchify::Constants {
        gather: visible.is_some(),
        channel_first: flatten == Flatten::ChannelFirst,
    };
    let [patch_h, patch_w] = config.patch_size;
    let params = patchify::Params {
        rows: rows as u32,
        first: first as u32,
        patches: patches as u32,
        grid_w: config.grid()[1] as u32,
        patch_h: patch_h as u32,
        patch_w: patch_w as u32,
        channels: config.channels as u32,
        count: count as u32,
    };
    let bindings = patchify::Bindings { images, ids_shuffle: ids, out };
    rec.launch(params, constants, bindings, groups_of_lanes(count));
    out
}
