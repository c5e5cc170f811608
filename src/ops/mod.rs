//! One file per operation: shape rule, forward launch and backward, named like its folder in `shaders/` and its twin
//! in `cpu/`.

mod attention;
mod attention_variant;
mod batch_norm;
mod cross_entropy;
mod discrete;
mod dropout;
pub mod gemm;
mod layer_norm;
mod linear;
mod loss;
mod mask;
pub mod optimizer;
mod patchify;
mod pool;
mod reduce;
mod residual;
mod softmax;
#[cfg(feature = "gpu")]
mod tiles;
mod tokens;

pub use attention::{Heads, attention};
pub use batch_norm::{BatchNorm, batch_norm};
pub use cross_entropy::{Target, cross_entropy};
pub use discrete::{argmax, gather_labels, gather_rows};
pub use dropout::{Dropout, dropout};
pub use layer_norm::layer_norm;
pub use linear::{combine, linear, linear_residual, mlp, product};
pub use loss::{Truth, masked_loss};
pub use mask::{MaskIds, argsort, noise};
pub use patchify::{Flatten, patchify};
pub use pool::mean_pool;
pub use reduce::add_column_sums;
pub use residual::{DropPath, drop_path, residual};
pub use softmax::softmax;
pub use tokens::{Layout, TokenMaps, assemble_tokens, token_maps};

/// Invocations of a kernel without barriers.
const LANES: usize = 64;

/// Invocations of a kernel that works as a group on one row of `dim` values.
fn row_lanes(dim: usize) -> u32 {
    match dim {
        ..=128 => 32,
        129..=1024 => 64,
        _ => 256,
    }
}

/// Groups of [`LANES`] invocations for `count` values.
fn groups_of_lanes(count: usize) -> usize {
    count.div_ceil(LANES)
}
