//! Weights in and out, under the names of this crate, Hugging Face, FAIR, timm and vit-pytorch.

pub mod checkpoint;
mod header;
pub mod hf_config;
#[cfg(feature = "native")]
pub mod hugging_face;
mod infer;
pub mod names;
#[cfg(feature = "native")]
mod open;
mod resize;
pub mod stream;

pub use header::{Metadata, describe, identify, stored_head, stored_normalization};
pub use infer::{Overrides, infer_config};
pub use names::{
    Assembled, Converted, FileKind, Format, Mapping, Missing, Piece, detect, map_names,
    to_hugging_face, to_internal,
};
#[cfg(feature = "native")]
pub use open::{OpenedWeights, open};
pub use resize::{resize_model, resize_positions};
