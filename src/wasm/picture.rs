//! Pictures between canvas and model.

use super::error::{JsResult, named};
use crate::config::ModelConfig;
use crate::data::{Augment, Normalization, Pixels};

/// A canvas' RGBA bytes, opaque, as a picture of `channels` (1 or 3).
pub(super) fn from_rgba(
    rgba: &[u8],
    width: usize,
    height: usize,
    channels: usize,
) -> JsResult<Pixels> {
    if width * height == 0 || rgba.len() != 4 * width * height {
        let message = format!("{} bytes are no {width} × {height} RGBA picture.", rgba.len());
        return Err(named("BadImage", &message));
    }
    if ![1, 3].contains(&channels) {
        let message = format!(
            "The model takes images of {channels} channels; a browser's pictures have 3 (RGB) or 1 \
             (grey)."
        );
        return Err(named("InvalidOption", &message));
    }
    let rgb = rgba.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    Ok(Pixels::new(width, height, 3, rgb).rgb_into(channels))
}

/// A canvas' RGBA bytes as a model of `config` sees them, `[C, H, W]`: the centre of the picture, or all of it
/// squeezed (`stretch`), normalised.
pub(super) fn prepare(
    rgba: &[u8],
    width: usize,
    height: usize,
    stretch: bool,
    config: &ModelConfig,
    normalization: &Normalization,
) -> JsResult<Vec<f32>> {
    let picture = from_rgba(rgba, width, height, config.channels)?;
    let augment = if stretch { Augment::none() } else { Augment::center() };
    Ok(normalization.still(&picture.into(), &augment, config.image_size)?)
}

/// Normalised `[C, H, W]` values as RGBA bytes, opaque.
pub(super) fn to_rgba(
    values: &[f32],
    config: &ModelConfig,
    normalization: &Normalization,
) -> Vec<u8> {
    let picture = normalization.denormalise(values, config.image_size);
    let pixels = picture.data.chunks_exact(picture.channels);
    let rgba = |pixel: &[u8]| match *pixel {
        [grey] => [grey, grey, grey, 255],
        [r, g, b, ..] => [r, g, b, 255],
        _ => [0, 0, 0, 255],
    };
    pixels.flat_map(rgba).collect()
}
