//! The twin of every kernel: what a shader of `shaders/` does on a GPU, done on the CPU, under the same name,
//! with the same parameters and bindings, in a file an operation.
//!
//! Twins run on all cores (`parallel`) and are written so that compilers turn them into vector instructions
//! (`vector`). Sums have a fixed order: results do not depend, bit for bit, on the number of threads.

#[macro_use]
mod vector;

mod attention;
mod batch_norm;
mod classifier;
mod cross_entropy;
mod device;
#[cfg(feature = "dropout")]
mod dropout;
mod epilogue;
mod gemm;
mod layer_norm;
mod loss;
mod mask;
mod masks;
mod math;
mod optimizer;
#[cfg(test)]
mod oracle;
mod parallel;
mod patchify;
mod pool;
mod reduce;
mod residual;
mod run;
mod softmax;
#[cfg(feature = "native")]
mod staging;
#[cfg(feature = "native")]
mod team;
mod tile;
mod tokens;
mod value;

pub use attention::{attention, attention_backward};
pub use batch_norm::{batch_norm, batch_norm_backward};
pub use classifier::argmax;
pub use cross_entropy::cross_entropy;
pub use device::{Buffer, Cpu, MAX_BINDING, describe};
#[cfg(feature = "dropout")]
pub use dropout::dropout;
#[cfg(feature = "gpu")]
pub use epilogue::gemm_sum;
pub use gemm::gemm;
pub use layer_norm::{layer_norm, layer_norm_backward, layer_norm_backward_params};
pub use loss::{loss_sum, masked_loss};
pub use mask::{argsort, noise, noise_block};
pub use optimizer::{adamw, ema, grad_norm, halve, lars, step_end};
pub use patchify::patchify;
pub use pool::{mean_pool, mean_pool_backward};
pub use reduce::column_sum;
pub use residual::{add, residual};
pub use run::{CommandList, Dispatch};
pub use softmax::{softmax, softmax_backward};
#[cfg(feature = "native")]
pub use staging::{Staged, Staging};
pub use tokens::{
    assemble_tokens, gather_labels, gather_rows, gather_tokens, position_grad, token_maps,
};
pub use value::Value;

/// Marks "no token", "no row" in index maps.
const NONE: u32 = 0xffff_ffff;
/// Sources in a token map that are parameters, not rows of the input.
const CLS_TOKEN: u32 = 0xffff_fffe;
const MASK_TOKEN: u32 = 0xffff_fffd;
