//! Grids of images: one row per image, one captioned column per kind of picture.

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, IntoFont, TextStyle};

use super::views::Geometry;
use super::{Picture, font};
use crate::error::{Error, Result};

/// Captions of [`reconstruction_row`]'s columns.
pub const RECONSTRUCTION_CAPTIONS: [&str; 4] =
    ["original", "masked", "reconstruction", "reconstruction + visible"];

/// Small images are enlarged by a whole factor until their longer side has this many pixels.
const LEGIBLE: usize = 160;
/// Pixels between tiles and around them.
const GAP: usize = 6;
/// Height of the captions' line, and their largest font size.
const CAPTION: usize = 22;
const FONT_SIZE: f64 = 16.0;
/// Brightness of hidden patches.
const GREY: f32 = 0.5;

/// One image of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
}

impl Tile {
    /// The tile of an image `[C, H, W]` that was normalised by `mean` and `std` (a value per
    /// channel): undone, clamped to [0, 1], NaN black. Images of one or two channels show the first
    /// as grey; of four and more, the first three as red, green and blue.
    ///
    /// # Errors
    /// [`Error::Config`] when a length does not fit the geometry.
    pub fn new(geometry: &Geometry, image: &[f32], mean: &[f32], std: &[f32]) -> Result<Self> {
        let [height, width] = geometry.image_size();
        let (channels, area) = (geometry.channels, height * width);
        if image.len() != channels * area || mean.len() != channels || std.len() != channels {
            let problem = format!(
                "{} values, {} means and {} deviations for {channels} channels of {height}×{width}",
                image.len(),
                mean.len(),
                std.len(),
            );
            return Err(Error::config("image", problem));
        }
        let byte = |channel: usize, pixel: usize| {
            let value = image[channel * area + pixel] * std[channel] + mean[channel];
            (value * 255.0).round() as u8
        };
        let shown: [usize; 3] = if channels < 3 { [0; 3] } else { [0, 1, 2] };
        let rgb = (0..area).flat_map(|pixel| shown.map(|channel| byte(channel, pixel))).collect();
        Ok(Self { height, width, rgb })
    }

    fn pixel(&self, y: usize, x: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

/// The four tiles of one image: original, masked (hidden patches grey), reconstruction, and the
/// reconstruction with the visible patches pasted in. `image` is `[C, H, W]`, `predicted` are
/// patches `[L, P]` as pixels (see [`Geometry::view`]), both normalised by `mean` and `std`;
/// `mask` is `[L]`, `true` where hidden.
///
/// # Errors
/// [`Error::Config`] when a length does not fit the geometry.
pub fn reconstruction_row(
    geometry: &Geometry,
    image: &[f32],
    predicted: &[f32],
    mask: &[bool],
    mean: &[f32],
    std: &[f32],
) -> Result<Vec<Tile>> {
    let original = Tile::new(geometry, image, mean, std)?;
    let tile = |patches: &[f32]| Tile::new(geometry, &geometry.unpatchify(patches)?, mean, std);
    let patches = geometry.patchify(image)?;
    let grey: Vec<f32> = mean.iter().zip(std).map(|(mean, std)| (GREY - mean) / std).collect();
    Ok(vec![
        original,
        tile(&geometry.paint_hidden(&patches, mask, &grey)?)?,
        tile(predicted)?,
        tile(&geometry.paste_visible(predicted, &patches, mask)?)?,
    ])
}

/// Draws rows of equally large tiles on white, with a caption above each column (none if
/// `captions` is empty).
///
/// # Errors
/// [`Error::Config`] when there is nothing to draw, or tiles differ in size or number.
pub fn draw(captions: &[&str], rows: &[Vec<Tile>]) -> Result<Picture> {
    let first = rows.first().and_then(|row| row.first());
    let first = first.ok_or_else(|| Error::config("picture grid", "there is no image to draw"))?;
    let (height, width, columns) = (first.height, first.width, rows[0].len());
    for (i, row) in rows.iter().enumerate() {
        if row.len() != columns || row.iter().any(|t| (t.height, t.width) != (height, width)) {
            let problem = format!(
                "row {i} has {} tiles; every row needs {columns} of {height}×{width} pixels",
                row.len()
            );
            return Err(Error::config("picture grid", problem));
        }
    }
    let scale = LEGIBLE.div_ceil(height.max(width).max(1));
    let top = GAP + if captions.is_empty() { 0 } else { CAPTION };
    let (step_y, step_x) = (height * scale + GAP, width * scale + GAP);
    let (full_height, full_width) = (top + rows.len() * step_y, GAP + columns * step_x);
    let mut rgb = vec![255; 3 * full_height * full_width];
    for (i, row) in rows.iter().enumerate() {
        for (j, tile) in row.iter().enumerate() {
            for y in 0..height * scale {
                let start = 3 * ((top + i * step_y + y) * full_width + GAP + j * step_x);
                let line = &mut rgb[start..][..3 * width * scale];
                for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *pixel = tile.pixel(y / scale, x / scale);
                }
            }
        }
    }
    let [picture_height, picture_width] = [full_height, full_width].map(|n| n as u32);
    let mut canvas = BitMapBackend::with_buffer(&mut rgb, (picture_width, picture_height));
    for (j, caption) in captions.iter().take(columns).enumerate() {
        let centre = GAP + j * step_x + width * scale / 2;
        draw_caption(&mut canvas, caption, centre, width * scale).map_err(|problem| {
            Error::config("picture grid", format!("caption {caption:?}: {problem}"))
        })?;
    }
    drop(canvas);
    Picture::new(picture_width, picture_height, rgb)
}

/// Writes a caption around `centre` in the largest font size that fits `width`.
fn draw_caption(
    canvas: &mut BitMapBackend,
    caption: &str,
    centre: usize,
    width: usize,
) -> Result<(), String> {
    let style = |size: f64| -> TextStyle {
        let font = (font::family(), size).into_font();
        TextStyle::from(font).color(&BLACK).pos(Pos::new(HPos::Center, VPos::Center))
    };
    let text_width = |size| canvas.estimate_text_size(caption, &style(size)).map(|(w, _)| w);
    let natural = text_width(FONT_SIZE).map_err(|e| e.to_string())?;
    let shrink = (width as f64 / f64::from(natural.max(1))).min(1.0);
    let at = (centre as i32, (GAP + CAPTION / 2) as i32 - 2);
    canvas.draw_text(caption, &style(FONT_SIZE * shrink), at).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { channels: 3, grid: [2, 3], patch_size: [4, 4] };

    fn tile(value: f32) -> Tile {
        Tile::new(&GEOMETRY, &[value; 288], &[0.0; 3], &[1.0; 3]).unwrap()
    }

    #[test]
    fn tiles_are_enlarged_and_placed() {
        let rows = vec![vec![tile(0.0), tile(1.0)], vec![tile(2.0), tile(f32::NAN)]];
        let picture = draw(&["a", "b"], &rows).unwrap();
        // 8 × 12 pixels, 14 times: 112 × 168.
        assert_eq!(picture.size(), [6 + 22 + 2 * (112 + 6), 6 + 2 * (168 + 6)].map(|n| n as u32));
        let pixel = |y: usize, x: usize| {
            let at = 3 * (y * picture.size()[1] as usize + x);
            picture.rgb()[at]
        };
        assert_eq!([pixel(28, 6), pixel(139, 173), pixel(140, 174)], [0, 0, 255]);
        assert_eq!([pixel(28, 180), pixel(146, 6), pixel(146, 180)], [255, 255, 0]);
        // The caption left some ink.
        assert!((0..28).any(|y| (6..174).any(|x| pixel(y, x) < 128)));
        assert_eq!(picture.to_png().unwrap()[1..4], *b"PNG");
    }

    #[test]
    fn hidden_patches_are_grey_and_visible_ones_pasted() {
        let mask = [true, false, true, true, true, true];
        let (mean, std) = ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]);
        let row = |image: &[f32], mask: &[bool]| {
            reconstruction_row(&GEOMETRY, image, &[0.0; 288], mask, &mean, &std)
        };
        let tiles = row(&[1.0; 288], &mask).unwrap();
        let at = |column: usize, patch: usize| tiles[column].pixel(0, 4 * patch);
        assert_eq!((at(1, 0), at(1, 1)), ([128; 3], [153, 204, 255]));
        assert_eq!((at(2, 1), at(3, 0), at(3, 1)), (at(2, 0), at(2, 0), at(0, 1)));
        assert!(row(&[1.0; 287], &mask).is_err());
        assert!(row(&[1.0; 288], &mask[1..]).is_err());
    }

    #[test]
    fn uneven_grids_are_refused() {
        assert!(draw(&[], &[]).is_err());
        let error = draw(&[], &[vec![tile(0.0)], vec![]]).unwrap_err().to_string();
        assert!(error.contains("row 1 has 0 tiles"), "{error}");
    }
}
