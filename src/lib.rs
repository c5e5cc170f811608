//! Masked Autoencoders (He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners") on WebGPU: forward and
//! backward in WGSL compute shaders, and on the processor where there is no GPU.
//!
//! ```
//! # let folder = tempfile::tempdir().unwrap();
//! # let run = folder.path().join("run");
//! use std::sync::atomic::AtomicBool;
//! use webmae::{DeviceOptions, Event, Length, ModelConfig, Recipe, Start, TensorMap, block_on, train};
//!
//! let device = block_on(DeviceOptions::default().open())?.device; // a GPU, else the processor
//! let mut recipe = Recipe::pretrain(ModelConfig::preset("tiny")?, "synthetic");
//! recipe.length = Length::Steps(2);
//! recipe.batch_size = 4;
//! recipe.data.held_out_images = 8;
//! let (start, stop) = (Start::New(run, TensorMap::new()), AtomicBool::new(false));
//! let outcome = train(&device, &recipe, start, &stop, &mut |event| {
//!     if let Event::Step(step) = event {
//!         println!("step {}: loss {:.4}", step.step, step.loss);
//!     }
//! })?;
//! println!("held-out loss {:.4}", outcome.held_out_loss);
//! # assert!(outcome.complete && outcome.held_out_loss < 3.0);
//! # Ok::<(), webmae::Error>(())
//! ```
//!
//! A trained model is used by a [`Reconstructor`], [`model::features`] or [`model::predict`], on parameters that
//! [`weights`] reads into a [`ParamStore`]. The data's way: [`data`] makes batches; [`model`] records the network
//! from [`ops`]; [`program`] turns that into a list of launches, of [`kernels`] or of their twins in [`cpu`];
//! [`mod@train`] drives the steps; [`report`] draws. Only `cli` prints, only `wasm` knows JavaScript.

// In a browser nothing crosses threads; natively the same types do.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))]

#[cfg(not(feature = "labels"))]
mod absent;
#[cfg(feature = "native")]
pub mod cli;
pub mod config;
pub mod data;
pub mod error;
pub mod files;
pub mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "check")]
pub mod measure;
pub mod model;
pub mod ops;
mod order;
pub mod program;
pub mod remedy;
pub mod report;
pub mod setting;
pub mod tensor;
pub mod train;
#[cfg(feature = "gpu")]
pub mod tune;
#[cfg(feature = "check")]
pub mod verify;
#[cfg(target_family = "wasm")]
pub mod wasm;
pub mod weights;

pub use config::{MaskStrategy, ModelConfig, PatchTarget, Positions, StackConfig, Variant};
pub use data::{ImageSource, Normalization};
pub use error::{Error, Result};
pub use model::{objective::MaskSource, reconstruct::Reconstructor, store::ParamStore};
#[cfg(feature = "native")]
pub use pollster::block_on;
pub use program::Device;
#[cfg(feature = "native")]
pub use program::DeviceOptions;
pub use tensor::TensorMap;
#[cfg(feature = "native")]
pub use train::event::{Event, Outcome};
pub use train::recipe::{Length, Recipe};
#[cfg(feature = "native")]
pub use train::run::{Start, train};
#[cfg(feature = "cpu")]
pub use webmae_kernels::cpu;
pub use webmae_kernels::{self as kernels, Precision, philox};
