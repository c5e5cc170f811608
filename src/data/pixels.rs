//! A picture in host memory, of 8 or 16 bits a sample, and its conversions between numbers of channels.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul};

/// A level of one channel of a pixel, from 0 (black) up.
pub trait Sample:
    Copy + Default + Ord + Debug + Send + Sync + Into<u32> + Into<f32> + Into<f64> + 'static
{
    /// Number of bits.
    const BITS: u32;
    /// The highest level.
    const MAX: Self;
    /// Levels for each one of an 8-bit sample: 1 or 257.
    const STEP: u32;
    /// A sum of levels, weighted in fixed point.
    type Sum: Copy
        + From<Self>
        + From<i32>
        + Add<Output = Self::Sum>
        + Mul<Output = Self::Sum>
        + AddAssign;

    /// The level of a sum with `bits` bits after the point, cut off and clamped.
    fn of_sum(sum: Self::Sum, bits: u32) -> Self;

    /// `value` cut off and clamped.
    fn cut(value: f32) -> Self;

    /// The same of more digits.
    fn cut_f64(value: f64) -> Self;

    /// The lower bits of `level`.
    fn low(level: u32) -> Self;

    /// What gives the normalised value of a level: `(level / MAX − mean) / std`.
    fn normaliser(mean: f32, std: f32) -> impl Fn(Self) -> f32;
}

impl Sample for u8 {
    const BITS: u32 = 8;
    const MAX: Self = Self::MAX;
    const STEP: u32 = 1;
    type Sum = i32;

    #[inline(always)]
    fn of_sum(sum: i32, bits: u32) -> Self {
        (sum >> bits).clamp(0, 255) as Self
    }

    #[inline(always)]
    fn cut(value: f32) -> Self {
        value as Self
    }

    #[inline(always)]
    fn cut_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn low(level: u32) -> Self {
        level as Self
    }

    fn normaliser(mean: f32, std: f32) -> impl Fn(Self) -> f32 {
        let table: [f32; 256] = std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        move |byte| table[usize::from(byte)]
    }
}

impl Sample for u16 {
    const BITS: u32 = 16;
    const MAX: Self = Self::MAX;
    const STEP: u32 = 257;
    type Sum = i64;

    #[inline(always)]
    fn of_sum(sum: i64, bits: u32) -> Self {
        (sum >> bits).clamp(0, 65_535) as Self
    }

    #[inline(always)]
    fn cut(value: f32) -> Self {
        value as Self
    }

    #[inline(always)]
    fn cut_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn low(level: u32) -> Self {
        level as Self
    }

    fn normaliser(mean: f32, std: f32) -> impl Fn(Self) -> f32 {
        move |level| (f32::from(level) / 65_535.0 - mean) / std
    }
}

/// Interleaved pixels: row by row from the top left, `channels` samples per pixel (HWC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels<S = u8> {
    /// Pixels per row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Samples per pixel: 1 luma, 3 RGB, 4 RGBA, or any number of bands.
    pub channels: usize,
    /// `height · width · channels` samples.
    pub data: Vec<S>,
}

/// A picture at the depth that it was stored with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// 8 bits a sample, as nearly all pictures have.
    Eight(Pixels),
    /// 16 bits, as scanners and microscopes give. Browsers hand on 8.
    #[cfg(feature = "native")]
    Sixteen(Pixels<u16>),
}

impl From<Pixels> for Decoded {
    fn from(picture: Pixels) -> Self {
        Self::Eight(picture)
    }
}

#[cfg(feature = "native")]
impl From<Pixels<u16>> for Decoded {
    fn from(picture: Pixels<u16>) -> Self {
        Self::Sixteen(picture)
    }
}

impl Decoded {
    /// `[width, height]`.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Eight(picture) => [picture.width, picture.height],
            #[cfg(feature = "native")]
            Self::Sixteen(picture) => [picture.width, picture.height],
        }
    }

    /// Samples per pixel.
    pub fn channels(&self) -> usize {
        match self {
            Self::Eight(picture) => picture.channels,
            #[cfg(feature = "native")]
            Self::Sixteen(picture) => picture.channels,
        }
    }

    /// The picture, if it has 8 bits a sample.
    pub fn eight(self) -> Option<Pixels> {
        match self {
            Self::Eight(picture) => Some(picture),
            #[cfg(feature = "native")]
            Self::Sixteen(_) => None,
        }
    }

    /// The picture, if it has 16 bits a sample.
    #[cfg(feature = "native")]
    pub fn sixteen(self) -> Option<Pixels<u16>> {
        match self {
            Self::Eight(_) => None,
            Self::Sixteen(picture) => Some(picture),
        }
    }
}

impl<S: Sample> Pixels<S> {
    /// A picture over `data`.
    ///
    /// # Panics
    /// If `data` does not hold `height · width · channels` samples.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<S>) -> Self {
        assert_eq!(data.len(), width * height * channels, "{width}×{height}×{channels} pixels");
        Self { width, height, channels, data }
    }

    /// A black picture.
    pub fn zeros(width: usize, height: usize, channels: usize) -> Self {
        Self::new(width, height, channels, vec![S::default(); width * height * channels])
    }

    /// The samples of the pixel at column `x`, row `y`.
    pub fn at(&self, x: usize, y: usize) -> &[S] {
        let start = (y * self.width + x) * self.channels;
        &self.data[start..start + self.channels]
    }

    /// The samples of the pixel at column `x`, row `y`, to be written.
    pub fn at_mut(&mut self, x: usize, y: usize) -> &mut [S] {
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
                    // All samples, then those of each pixel back.
                    row.reverse();
                    row.chunks_exact_mut(channels).for_each(<[S]>::reverse);
                }
            }
        }
    }

    /// An RGB picture as `channels` = 1 (luma), 3 (itself) or 4 (opaque RGBA) samples per pixel.
    #[cfg(any(feature = "native", not(feature = "check")))]
    pub(crate) fn rgb_into(self, channels: usize) -> Self {
        debug_assert_eq!(self.channels, 3);
        let (width, height) = (self.width, self.height);
        let pixels = self.data.as_chunks::<3>().0;
        let data = match channels {
            1 => pixels.iter().map(|&rgb| luma(rgb)).collect(),
            4 => pixels.iter().flat_map(|&[r, g, b]| [r, g, b, S::MAX]).collect(),
            _ => return self,
        };
        Self::new(width, height, channels, data)
    }
}

/// ITU-R 601 luma in the 16-bit fixed point of PIL's mode `L`.
pub(crate) fn luma<S: Sample>(rgb: [S; 3]) -> S {
    let [r, g, b]: [u32; 3] = rgb.map(Into::into);
    S::low((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_and_flips() {
        let picture = Pixels::<u8>::new(3, 2, 2, (0..12).collect());
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
        assert_eq!(luma([255_u8; 3]), 255);
        assert_eq!(luma([u16::MAX; 3]), u16::MAX);
        assert_eq!([luma([255_u8, 0, 0]), luma([0, 255, 0]), luma([0, 0, 255])], [76, 150, 29]);
        let grey = Pixels::<u8>::new(1, 1, 3, vec![10, 20, 30]).rgb_into(1);
        assert_eq!((grey.channels, grey.data), (1, vec![18]));
    }
}
