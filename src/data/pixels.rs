//! An 8-bit picture in host memory, and its conversions between numbers of channels.

/// Interleaved 8-bit pixels: row by row from the top left, `channels` bytes per pixel (HWC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels per row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Bytes per pixel: 1 luma, 3 RGB, 4 RGBA, or any number of bands.
    pub channels: usize,
    /// `height · width · channels` bytes.
    pub data: Vec<u8>,
}

impl Pixels {
    /// A picture over `data`.
    ///
    /// # Panics
    /// If `data` does not hold `height · width · channels` bytes.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<u8>) -> Self {
        assert_eq!(data.len(), width * height * channels, "{width}×{height}×{channels} pixels");
        Self { width, height, channels, data }
    }

    /// A black picture.
    pub fn zeros(width: usize, height: usize, channels: usize) -> Self {
        Self::new(width, height, channels, vec![0; width * height * channels])
    }

    /// The bytes of the pixel at column `x`, row `y`.
    pub fn at(&self, x: usize, y: usize) -> &[u8] {
        let start = (y * self.width + x) * self.channels;
        &self.data[start..start + self.channels]
    }

    /// The bytes of the pixel at column `x`, row `y`, to be written.
    pub fn at_mut(&mut self, x: usize, y: usize) -> &mut [u8] {
        let start = (y * self.width + x) * self.channels;
        &mut self.data[start..start + self.channels]
    }

    /// The part of `width` × `height` pixels whose top left corner is at (`left`, `top`), cut off
    /// at the picture's edges.
    pub fn crop(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let (left, top) = (left.min(self.width), top.min(self.height));
        let width = width.min(self.width - left);
        let height = height.min(self.height - top);
        let rows = self.data.chunks_exact(self.width * self.channels).skip(top).take(height);
        let columns = left * self.channels..(left + width) * self.channels;
        let mut data = Vec::with_capacity(height * columns.len());
        rows.for_each(|row| data.extend_from_slice(&row[columns.clone()]));
        Self::new(width, height, self.channels, data)
    }

    /// Mirrors the picture left to right, in place.
    pub fn flip_horizontal(&mut self) {
        let channels = self.channels;
        for row in self.data.chunks_exact_mut(self.width * channels) {
            match channels {
                1 => row.reverse(),
                3 => row.as_chunks_mut::<3>().0.reverse(),
                4 => row.as_chunks_mut::<4>().0.reverse(),
                _ => {
                    // All bytes, then those of each pixel back.
                    row.reverse();
                    row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
                }
            }
        }
    }

    /// An RGB picture as `channels` = 1 (luma), 3 (itself) or 4 (opaque RGBA) bytes per pixel.
    pub(crate) fn rgb_into(self, channels: usize) -> Self {
        debug_assert_eq!(self.channels, 3);
        let (width, height) = (self.width, self.height);
        let pixels = self.data.as_chunks::<3>().0;
        let data = match channels {
            1 => pixels.iter().map(|&rgb| luma(rgb)).collect(),
            4 => pixels.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect(),
            _ => return self,
        };
        Self::new(width, height, channels, data)
    }
}

/// ITU-R 601 luma in the 16-bit fixed point of PIL's mode `L`.
pub(crate) fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471;
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_and_flips() {
        let picture = Pixels::new(3, 2, 2, (0..12).collect());
        assert_eq!(picture.crop(1, 1, 2, 1).data, [8, 9, 10, 11]);
        assert_eq!(picture.crop(2, 0, 9, 9).data, [4, 5, 10, 11]);
        let mut flipped = picture.clone();
        flipped.flip_horizontal();
        assert_eq!(flipped.data, [4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7]);
        assert_eq!(picture.at(2, 1), [10, 11]);
    }

    #[test]
    fn flips_keep_pixels_whole() {
        for channels in 1..=5 {
            let picture = Pixels::new(5, 2, channels, (0..10 * channels as u8).collect());
            let mut flipped = picture.clone();
            flipped.flip_horizontal();
            for (x, y) in (0..5).flat_map(|x| [(x, 0), (x, 1)]) {
                assert_eq!(flipped.at(x, y), picture.at(4 - x, y), "{channels} channels");
            }
        }
    }

    #[test]
    fn luma_is_that_of_pil() {
        assert_eq!(luma([255; 3]), 255);
        assert_eq!([luma([255, 0, 0]), luma([0, 255, 0]), luma([0, 0, 255])], [76, 150, 29]);
        let grey = Pixels::new(1, 1, 3, vec![10, 20, 30]).rgb_into(1);
        assert_eq!((grey.channels, grey.data), (1, vec![18]));
    }
}
