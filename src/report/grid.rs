//! Grids of images: one row per image, one captioned column per kind of picture.

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, IntoFont, TextStyle};

use super::masked_picture::MaskedPicture;
use super::{Picture, font};
use crate::error::{Error, Result};
use crate::geometry::Geometry;

/// Captions of [`reconstruction_row`]'s columns, the last one for a single reconstruction.
pub const RECONSTRUCTION_CAPTIONS: [&str; 4] =
    ["original", "masked", "harmonic filling", "reconstruction"];

/// Small images are enlarged by a whole factor until their longer side has this many pixels.
const LEGIBLE: usize = 160;
/// Pixels between tiles and around them.
const GAP: usize = 6;
/// Height of the captions' line, and their largest font size.
const CAPTION: usize = 22;
const FONT_SIZE: f64 = 16.0;

/// One image of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
}

impl Tile {
    /// The tile of an image `[C, H, W]` of display values, clamped to [0, 1], NaN black. Images of one or two
    /// channels show the first as grey; of four and more, the first three as red, green and blue.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of values does not fit the geometry.
    pub fn new(geometry: &Geometry, image: &[f32]) -> Result<Self> {
        let [height, width] = geometry.image_size();
        let (channels, area) = (geometry.channels, height * width);
        if image.len() != channels * area {
            let values = image.len();
            let problem = format!("{values} values for {channels} channels of {height}×{width}");
            return Err(Error::argument("image", problem));
        }
        let byte =
            |channel: usize, pixel: usize| (image[channel * area + pixel] * 255.0).round() as u8;
        let shown: [usize; 3] = if channels < 3 { [0; 3] } else { [0, 1, 2] };
        let rgb = (0..area).flat_map(|pixel| shown.map(|channel| byte(channel, pixel))).collect();
        Ok(Self { height, width, rgb })
    }

    fn pixel(&self, y: usize, x: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

/// The tiles of one picture: original, masked, filled harmonically, and what models made of it.
///
/// # Errors
/// [`Error::Argument`] when a reconstruction is of another size than the picture.
pub fn reconstruction_row(
    picture: &MaskedPicture<'_>,
    reconstructions: &[Vec<f32>],
) -> Result<Vec<Tile>> {
    let masked = picture.masked();
    let given = [picture.original(), &masked, picture.harmonic()];
    let all = given.into_iter().chain(reconstructions.iter().map(Vec::as_slice));
    all.map(|image| Tile::new(picture.geometry(), image)).collect()
}

/// Draws rows of equally large tiles on white, with a caption above each column (none if
/// `captions` is empty).
///
/// # Errors
/// [`Error::Argument`] when there is nothing to draw, or tiles differ in size or number.
pub fn draw(captions: &[&str], rows: &[Vec<Tile>]) -> Result<Picture> {
    let first = rows.first().and_then(|row| row.first());
    let first =
        first.ok_or_else(|| Error::argument("picture grid", "there is no image to draw"))?;
    let (height, width, columns) = (first.height, first.width, rows[0].len());
    for (i, row) in rows.iter().enumerate() {
        if row.len() != columns || row.iter().any(|t| (t.height, t.width) != (height, width)) {
            let problem = format!(
                "row {i} has {} tiles; every row needs {columns} of {height}×{width} pixels",
                row.len()
            );
            return Err(Error::argument("picture grid", problem));
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
            Error::argument("picture grid", format!("caption {caption:?}: {problem}"))
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
        Tile::new(&GEOMETRY, &[value; 288]).unwrap()
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
    fn uneven_grids_are_refused() {
        assert!(draw(&[], &[]).is_err());
        assert!(Tile::new(&GEOMETRY, &[0.0; 287]).is_err());
        let error = draw(&[], &[vec![tile(0.0)], vec![]]).unwrap_err().to_string();
        assert!(error.contains("row 1 has 0 tiles"), "{error}");
    }
}
