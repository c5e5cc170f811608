//! How sources of pictures are opened.

use super::synthetic::SYNTHETIC_LEN;
use crate::config::ModelConfig;
use crate::data::decode::{DecodeOptions, MAX_PIXELS};

/// How a source is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// Channels of the pictures: 1, 3 or 4; any number for `synthetic`.
    pub channels: usize,
    /// Turn pictures as their EXIF orientation says (torchvision does not).
    pub apply_exif: bool,
    /// Larger pictures are refused, see [`DecodeOptions::max_pixels`].
    pub max_pixels: u64,
    /// Of a tree of class folders, use only those whose name starts so.
    pub class_prefix: Option<String>,
    /// Folders and files to leave out: patterns of names (`*.gif`, `old`) or of paths from the data folder on
    /// (`cat/old/*`), with `*`, `**`, `?`, `[…]` and `{…,…}`.
    pub exclude: Vec<String>,
    /// `[height, width]` of synthetic pictures.
    pub image_size: [usize; 2],
    /// Number of synthetic pictures, unless the path says `synthetic:COUNT`.
    pub synthetic_len: usize,
    /// Seed of synthetic pictures.
    pub seed: u64,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            channels: 3,
            apply_exif: true,
            max_pixels: MAX_PIXELS,
            class_prefix: None,
            exclude: Vec::new(),
            image_size: [32, 32],
            synthetic_len: SYNTHETIC_LEN,
            seed: 0,
        }
    }
}

impl SourceOptions {
    /// For the pictures of `model`, of class folders those whose name starts with `class_prefix`, without what
    /// `exclude` matches.
    pub fn for_model(model: &ModelConfig, class_prefix: Option<&str>, exclude: &[String]) -> Self {
        Self {
            channels: model.channels,
            image_size: model.image_size,
            class_prefix: class_prefix.map(str::to_owned),
            exclude: exclude.to_vec(),
            ..Self::default()
        }
    }

    /// The part that concerns the decoding of files.
    pub(super) fn decode(&self) -> DecodeOptions {
        let Self { channels, apply_exif, max_pixels, .. } = *self;
        DecodeOptions { channels, apply_exif, max_pixels }
    }
}
