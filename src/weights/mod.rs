//! Weights in and out, under the names of this crate, Hugging Face, FAIR, timm, mmpretrain and vit-pytorch.

pub mod checkpoint;
mod finite;
mod header;
pub mod hf_config;
#[cfg(feature = "native")]
pub mod hugging_face;
mod infer;
pub mod names;
#[cfg(feature = "native")]
mod open;
mod resize;
mod set;
pub mod stream;
mod understand;

pub use finite::require_finite;
pub use header::{Metadata, describe, identify, stored_head, stored_normalization};
pub use infer::{Overrides, infer_config};
pub use names::{
    Assembled, Converted, FileKind, Format, Mapping, Missing, Piece, VitPytorchModel, detect,
    map_names, to_hugging_face, to_internal, to_vit_pytorch,
};
#[cfg(feature = "native")]
pub use open::{OpenedWeights, open, open_set};
pub use resize::{resize_model, resize_positions};
#[cfg(feature = "native")]
pub use set::Sets;
