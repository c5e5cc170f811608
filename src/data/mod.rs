//! The CPU's only work: pictures are found ([`source`]), decoded, cropped and coloured at random
//! ([`transform`]), normalised ([`normalize`]) and put together into batches ([`batch`]), natively
//! ahead of time.

mod affine;
pub mod batch;
mod bicubic;
mod change;
#[cfg(feature = "native")]
pub mod cifar;
pub mod color;
#[cfg(feature = "native")]
pub mod decode;
pub mod erasing;
#[cfg(feature = "native")]
pub mod folder;
#[cfg(feature = "native")]
mod held_out;
mod indices;
#[cfg(feature = "native")]
pub mod kmeans;
#[cfg(feature = "native")]
pub mod loader;
pub mod memory;
pub mod mix;
pub mod normalize;
#[cfg(feature = "native")]
mod open;
#[cfg(feature = "native")]
pub mod pca;
pub mod pixels;
pub mod rand_augment;
mod rectangle;
pub mod resize;
pub mod source;
#[cfg(feature = "native")]
mod source_options;
#[cfg(feature = "native")]
pub mod split;
pub mod synthetic;
#[cfg(feature = "native")]
pub mod tokens;
pub mod transform;

pub use batch::{
    Batch, BatchMaker, Cursor, LabelOptions, LoaderOptions, Sequence, Skipped, fixed_batch,
};
pub use indices::fixed_indices;
#[cfg(feature = "native")]
pub use loader::Loader;
pub use memory::Memory;
pub use normalize::Normalization;
#[cfg(feature = "native")]
pub use open::open;
pub use pixels::Pixels;
pub use source::ImageSource;
#[cfg(feature = "native")]
pub use source_options::SourceOptions;
#[cfg(feature = "native")]
pub use split::{Split, open_split};
pub use transform::{Augment, Crop};
