//! Picture files into pixels.

mod file;
mod gif;
mod size;

pub(crate) use file::files_have_channels;
pub use file::{
    DecodeOptions, EXTENSIONS, FILE_CHANNELS, MAX_PIXELS, decode_file, has_picture_extension,
    little_range,
};
