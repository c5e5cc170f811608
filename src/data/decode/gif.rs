//! The first frame of a GIF as browsers show it.

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::{Rgba, RgbaImage};

use super::size::check_size;

/// What shows where nothing is drawn: nothing, on a white page.
const GROUND: Rgba<u8> = Rgba([255, 255, 255, 0]);

/// The first frame of the GIF in `bytes`, or why there is none. The canvas is the logical screen, enlarged where
/// the frame reaches beyond it; what the frame leaves open or makes transparent shows the ground.
pub(super) fn first_frame(bytes: &[u8], max_pixels: u64) -> Result<RgbaImage, String> {
    let broken = |problem: gif::DecodingError| format!("cannot be decoded: {problem}");
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes).map_err(broken)?;
    let screen = [decoder.width(), decoder.height()].map(u32::from);
    let Some(frame) = decoder.next_frame_info().map_err(broken)? else {
        return Err("has no frame".to_owned());
    };
    let [left, top, width, height] =
        [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let canvas = [screen[0].max(left + width), screen[1].max(top + height)];
    check_size(canvas[0], canvas[1], max_pixels)?;
    let mut picture = RgbaImage::from_pixel(canvas[0], canvas[1], GROUND);
    let mut drawn = vec![0; decoder.buffer_size()];
    if !drawn.is_empty() {
        decoder.read_into_buffer(&mut drawn).map_err(broken)?;
    }
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (left + x, top + y)));
    for ((x, y), &[r, g, b, alpha]) in places.zip(drawn.as_chunks::<4>().0) {
        if alpha != 0 {
            picture.put_pixel(x, y, Rgba([r, g, b, alpha]));
        }
    }
    Ok(picture)
}
