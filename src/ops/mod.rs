//! One file per op: shape rule, forward dispatch and backward, named like its shader.

mod attention;
mod batch_norm;
mod cross_entropy;
mod discrete;
mod drop_path;
pub mod gemm;
mod layer_norm;
mod linear;
mod mask;
mod masked_loss;
mod mean_pool;
pub mod optim;
mod patchify;
mod reduce;
mod softmax;
mod tokens;

pub use attention::{Heads, attention};
pub use batch_norm::{BatchNorm, batch_norm};
pub use cross_entropy::{Target, cross_entropy};
pub use discrete::{argmax, gather_labels, gather_rows};
pub use drop_path::{DropPath, drop_path};
pub use layer_norm::layer_norm;
pub use linear::{combine, linear, linear_residual, mlp, product, residual};
pub use mask::{MaskIds, argsort, noise};
pub use masked_loss::{Truth, masked_loss};
pub use mean_pool::mean_pool;
pub use patchify::{Flatten, patchify};
pub use softmax::softmax;
pub use tokens::{Layout, TokenMaps, assemble_tokens, token_maps};

use crate::gpu::{Tier, texture};
use crate::program::{Recorder, Tensor};

/// Invocations of a kernel without barriers.
const LANES: usize = 64;

/// Invocations of a kernel that works as a group on one row of `dim` values.
fn row_lanes(rec: &Recorder, dim: usize) -> u32 {
    match rec.tier() {
        // A SIMD vector or two, as barriers are dear.
        Tier::Cpu | Tier::CpuTextures => 8,
        Tier::Gpu if dim <= 128 => 32,
        Tier::Gpu if dim <= 1024 => 64,
        Tier::Gpu => 256,
    }
}

/// Groups of [`LANES`] invocations for `count` values.
fn groups_of_lanes(count: usize) -> usize {
    count.div_ceil(LANES)
}

/// Whether to record a kernel that reads these tensors from textures, as vectors along their last
/// dimension of `dim` values.
fn reads_textures(rec: &Recorder, dim: usize, tensors: &[Tensor]) -> bool {
    let fits = |&tensor: &Tensor| texture::fits(rec.len(tensor));
    rec.tier() == Tier::CpuTextures && dim.is_multiple_of(4) && tensors.iter().all(fits)
}

/// Which of a pair of kernels for CPU drivers, in which an invocation owns a row or a column of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vectors {
    /// `*_texture`
    Textures,
    /// `*_vector`
    Buffers,
}

impl Vectors {
    /// The kernels that read these tensors as vectors along their last dimension of `dim` values; none on
    /// GPUs, whose kernels work as groups, and for other sizes.
    fn choose(rec: &Recorder, dim: usize, tensors: &[Tensor]) -> Option<Self> {
        if reads_textures(rec, dim, tensors) {
            return Some(Self::Textures);
        }
        (rec.tier().is_cpu() && dim.is_multiple_of(4)).then_some(Self::Buffers)
    }

    fn of(self, textures: &'static str, buffers: &'static str) -> &'static str {
        match self {
            Self::Textures => textures,
            Self::Buffers => buffers,
        }
    }
}

/// Groups of one SIMD vector each for `count` rows or vectors, in kernels for CPU drivers.
fn groups_of_eight(count: usize) -> usize {
    count.div_ceil(8)
}
