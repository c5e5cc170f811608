//! The surface for JavaScript, by wasm-bindgen: what the package's worker calls. The only place that
//! knows JavaScript. Options and descriptions travel as JSON, pixels and tensors as typed arrays.
//!
//! A module that checks and measures has nothing else.

#[cfg(all(feature = "gpu", not(feature = "check")))]
mod adapter;
#[cfg(feature = "check")]
mod check;
mod device;
mod error;
#[cfg(not(feature = "check"))]
mod feed;
#[cfg(not(feature = "check"))]
mod info;
#[cfg(feature = "check")]
mod measure;
#[cfg(not(feature = "check"))]
mod model;
#[cfg(not(feature = "check"))]
mod objective;
#[cfg(not(feature = "check"))]
mod picture;
mod progress;
#[cfg(not(feature = "check"))]
mod reconstruction;
#[cfg(not(feature = "check"))]
mod resume;
#[cfg(not(feature = "check"))]
mod trainer;
#[cfg(not(feature = "check"))]
mod weights;
mod wording;
#[cfg(not(feature = "check"))]
mod workload;

#[cfg(feature = "check")]
pub use check::Check;
pub use device::WebDevice;
#[cfg(not(feature = "check"))]
pub use model::{Attention, Model};
#[cfg(not(feature = "check"))]
pub use objective::Objective;
pub use progress::Progress;
#[cfg(not(feature = "check"))]
pub use reconstruction::Reconstruction;
#[cfg(not(feature = "check"))]
pub use resume::CheckpointLoader;
#[cfg(not(feature = "check"))]
pub use trainer::Trainer;
#[cfg(not(feature = "check"))]
pub use weights::WeightsLoader;
#[cfg(not(feature = "check"))]
pub use workload::Workload;
