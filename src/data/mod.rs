//! The CPU's only work: pictures are found ([`sources`]), decoded ([`mod@decode`]), cropped and coloured at random
//! ([`augment`]), normalised ([`normalize`]) and put together into batches ([`batch`]), natively
//! ahead of time.

pub mod augment;
pub mod batch;
#[cfg(feature = "native")]
pub mod decode;
#[cfg(feature = "native")]
pub mod fingerprint;
mod indices;
#[cfg(feature = "native")]
pub mod loader;
pub mod normalize;
pub mod pixels;
pub mod sources;
#[cfg(feature = "native")]
pub mod targets;

pub use augment::transform::{Augment, Crop, CropName};
#[cfg(feature = "labels")]
pub use batch::LabelOptions;
pub use batch::{Batch, BatchMaker, Cursor, LoaderOptions, Sequence, Skipped, fixed_batch};
pub use indices::fixed_indices;
#[cfg(feature = "native")]
pub use loader::Loader;
pub use normalize::Normalization;
pub use pixels::{Decoded, Pixels};
pub use sources::memory::Memory;
#[cfg(feature = "native")]
pub use sources::open::open;
#[cfg(feature = "native")]
pub use sources::options::SourceOptions;
pub use sources::source::ImageSource;
#[cfg(feature = "native")]
pub use sources::split::{Split, open_split};
