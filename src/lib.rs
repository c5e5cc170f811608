//! Masked Autoencoders (He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners") on
//! WebGPU: forward and backward in WGSL compute shaders, and on the processor where there is no GPU.
//!
//! The way of the data, module by module:
//!
//! 1. [`data`] decodes images, draws augmentations and prefetches batches (the CPU's only work);
//! 2. [`model`] says which tensors exist and records the network from [`ops`];
//! 3. [`program`] turns the recording into a flat list of launches of [`kernels`]: reverse-mode
//!    differentiation, then a memory plan by liveness;
//! 4. `gpu` runs that list, one submit per step, with the kernels of `shaders/`; or [`cpu`] does, with their twins;
//! 5. [`train`] drives steps: schedule, AdamW, held-out loss, checkpoints;
//! 6. [`weights`] reads and writes them under Hugging Face, FAIR, timm and vit-pytorch names;
//! 7. [`report`] draws reconstructions and curves; `cli` is the only place that prints, `wasm` the only
//!    one that knows JavaScript.
//!
//! Dependencies point one way: `kernels ← gpu | cpu ← program ← ops ← model ← train ← cli | wasm`.

// In a browser nothing crosses threads; natively the same types do.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))]

#[cfg(feature = "native")]
pub mod cli;
pub mod config;
pub mod data;
pub mod error;
pub mod files;
pub mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod model;
pub mod ops;
pub mod program;
pub mod remedy;
pub mod report;
pub mod setting;
pub mod tensor;
pub mod train;
#[cfg(feature = "gpu")]
pub mod tune;
#[cfg(all(feature = "gpu", feature = "cpu"))]
pub mod verify;
#[cfg(target_family = "wasm")]
pub mod wasm;
pub mod weights;

pub use config::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};
pub use error::{Error, Result};
#[cfg(feature = "cpu")]
pub use webmae_kernels::cpu;
pub use webmae_kernels::{self as kernels, philox};
