//! The surface for JavaScript, by wasm-bindgen: what the package's worker calls. The only place that
//! knows JavaScript. Options and descriptions travel as JSON, pixels and tensors as typed arrays.

#[cfg(feature = "gpu")]
mod adapter;
#[cfg(feature = "check")]
mod check;
mod device;
mod error;
mod feed;
mod info;
#[cfg(feature = "check")]
mod measure;
mod model;
mod objective;
mod picture;
mod progress;
mod reconstruction;
mod resume;
mod trainer;
mod weights;
mod wording;
mod workload;

#[cfg(feature = "check")]
pub use check::Check;
pub use device::WebDevice;
pub use model::{Attention, Model};
pub use objective::Objective;
pub use progress::Progress;
pub use reconstruction::Reconstruction;
pub use resume::CheckpointLoader;
pub use trainer::Trainer;
pub use weights::WeightsLoader;
pub use workload::Workload;
