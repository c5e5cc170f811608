//! Images to rows of patch pixels.

use super::groups_of_lanes;
use crate::config::ModelConfig;
use crate::gpu::Precision;
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
    let constants = [
        ("GATHER", u32::from(visible.is_some())),
        ("CHANNEL_FIRST", u32::from(flatten == Flatten::ChannelFirst)),
    ];
    let [patch_h, patch_w] = config.patch_size;
    let grid_w = config.grid()[1];
    let uniform = [rows, first, patches, grid_w, patch_h, patch_w, config.channels, count];
    let uniform = uniform.map(|n| n as u32);
    rec.dispatch("patchify", &constants, &uniform, &[images, ids, out], groups_of_lanes(count));
    out
}
