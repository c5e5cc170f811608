//! The CPU's only work: pictures are found ([`source`]), decoded ([`decode`]), cropped and
//! coloured at random ([`transform`]), normalised ([`normalize`]) and put together into batches
//! ahead of time ([`loader`]).

pub mod cifar;
pub mod color;
pub mod decode;
pub mod folder;
pub mod loader;
pub mod normalize;
pub mod pixels;
pub mod resize;
pub mod source;
pub mod split;
pub mod synthetic;
pub mod transform;

pub use loader::{Batch, Cursor, Loader, LoaderOptions, Skipped, fixed_batch, fixed_indices};
pub use normalize::Normalization;
pub use pixels::Pixels;
pub use source::{ImageSource, SourceOptions, open};
pub use split::{Split, open_split};
pub use transform::{Augment, Crop};
