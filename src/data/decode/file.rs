//! Picture files into pixels: JPEG, PNG, WebP, BMP and the first frame of a GIF.

use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel};

use super::gif;
use super::size::check_size;
use crate::data::pixels::{Decoded, Pixels, Sample};
use crate::error::{Error, Result};
use crate::setting::Setting;

/// Endings of the files that count as pictures, in lower case.
pub const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// The default of [`DecodeOptions::max_pixels`]: 134 megapixels.
pub const MAX_PIXELS: u64 = 1 << 27;

/// Channels that picture files can give: luma, RGB, RGBA.
pub const FILE_CHANNELS: [usize; 3] = [1, 3, 4];

/// How files are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Channels of the result: 1 (luma as PIL's `L`), 3 (RGB; alpha is dropped, grey replicated,
    /// palettes looked up, as PIL's `convert('RGB')`) or 4 (RGBA, opaque where a file has none). What is
    /// transparent in a GIF is white, as browsers show it.
    pub channels: usize,
    /// Turn pictures as their EXIF orientation says. torchvision's `ImageFolder` does not.
    pub apply_exif: bool,
    /// Larger pictures are refused before memory is taken for them.
    pub max_pixels: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { channels: 3, apply_exif: true, max_pixels: MAX_PIXELS }
    }
}

/// Whether `path` ends like a picture (see [`EXTENSIONS`]).
pub fn has_picture_extension(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|e| extension.eq_ignore_ascii_case(e)))
}

/// Decodes the picture at `path`, at the depth that it has; its format is told by its content, not by its name.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::BadFile`] if it is empty, no picture,
/// damaged, or larger than the limit; [`Error::Config`] for channels other than [`FILE_CHANNELS`].
pub fn decode_file(path: &Path, options: &DecodeOptions) -> Result<Decoded> {
    if !FILE_CHANNELS.contains(&options.channels) {
        return Err(Error::config(Setting::Channels, files_have_channels(options.channels)));
    }
    // A decoder that panics on a damaged file must not take a training run with it.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_image(path, options)));
    let image = decoded.unwrap_or_else(|_| Err(Error::bad_file(path, "the decoder gave up on it")));
    Ok(into_pixels(image?, options.channels))
}

/// Says so if the samples of the picture at `path` have 16 bits and use less than a quarter of their range, as
/// scans of 10 to 13 bits do. Nothing is said of files that cannot be read, which is for whoever decodes them.
pub fn little_range(path: &Path, options: &DecodeOptions) -> Option<String> {
    // Of the formats that are read only PNG has 16 bits; its header says so.
    let mut header = [0; 25];
    std::fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
    if !header.starts_with(b"\x89PNG\r\n\x1a\n") || header[24] != 16 {
        return None;
    }
    // Without alpha, which is often the highest level.
    let colors = DecodeOptions { channels: options.channels.min(3), ..options.clone() };
    let picture = decode_file(path, &colors).ok()?.sixteen()?;
    let (least, most) = (picture.data.iter().min()?, picture.data.iter().max()?);
    (most - least < u16::MAX / 4).then(|| {
        format!(
            "{} uses levels {least} to {most} of 0 to 65535, little of its 16 bits: measure mean and deviation \
             from the pictures instead of taking ImageNet's, or stretch the files.",
            path.display()
        )
    })
}

/// Why files cannot be read as `channels` channels.
pub(crate) fn files_have_channels(channels: usize) -> String {
    format!(
        "picture files give 1 (luma), 3 (RGB) or 4 (RGBA) channels, not {channels}; \
         only `synthetic` has any number"
    )
}

fn decode_image(path: &Path, options: &DecodeOptions) -> Result<DynamicImage> {
    let damaged =
        |problem: image::ImageError| Error::bad_file(path, format!("cannot be decoded: {problem}"));
    let bytes = read(path, options.max_pixels)?;
    let len = bytes.len();
    let is_cut_off = is_cut_off_jpeg(&bytes);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Error::io(path))?;
    if reader.format().is_none() {
        let problem = format!("is no JPEG, PNG, WebP, BMP or GIF by its content ({len} bytes)");
        return Err(Error::bad_file(path, problem));
    }
    if reader.format() == Some(ImageFormat::Gif) {
        let canvas = gif::first_frame(&reader.into_inner().into_inner(), options.max_pixels);
        return canvas.map(DynamicImage::from).map_err(|problem| Error::bad_file(path, problem));
    }
    let mut limits = Limits::no_limits();
    // Up to 16-bit RGBA, and as much again for the decoder's own tables.
    limits.max_alloc = Some(options.max_pixels.saturating_mul(16).max(1 << 24));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, options.max_pixels).map_err(|e| Error::bad_file(path, e))?;
    if is_cut_off {
        // The decoder would fill the missing part with grey.
        return Err(Error::bad_file(path, "is cut off: the JPEG has no end marker"));
    }
    // Unreadable metadata is no reason to lose a picture.
    let orientation = decoder.orientation().ok().filter(|_| options.apply_exif);
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

/// The file's bytes, unless it is empty or cannot be a picture within the limit.
fn read(path: &Path, max_pixels: u64) -> Result<Vec<u8>> {
    let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
    // 16-bit RGBA without compression, and room for metadata.
    let most = max_pixels.saturating_mul(8).saturating_add(1 << 26);
    match bytes {
        0 => Err(Error::bad_file(path, "is empty (0 bytes)")),
        1.. if bytes > most => {
            let problem = format!("has {bytes} bytes, at most {most} are read (see `max_pixels`)");
            Err(Error::bad_file(path, problem))
        }
        _ => std::fs::read(path).map_err(Error::io(path)),
    }
}

/// Whether these are the bytes of a JPEG without an end marker. What follows the end, such as a
/// phone's video, does not matter.
fn is_cut_off_jpeg(bytes: &[u8]) -> bool {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return false;
    }
    let mut rest = &bytes[2..];
    loop {
        // Within a scan, FF is followed by 0 or a restart marker.
        let is_marker =
            |pair: &[u8; 2]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF | 0xD0..=0xD7);
        let Some(place) = rest.array_windows().position(is_marker) else { return true };
        if rest[place + 1] == 0xD9 {
            return false;
        }
        let length = rest
            .get(place + 2..place + 4)
            .map_or(0, |l| usize::from(l[0]) << 8 | usize::from(l[1]));
        let Some(after) = rest.get(place + 2 + length..) else { return true };
        rest = after;
    }
}

/// `image` as 1, 3 or 4 channels.
fn into_pixels(image: DynamicImage, channels: usize) -> Decoded {
    let size = [image.width() as usize, image.height() as usize];
    match image {
        DynamicImage::ImageLuma16(image) => from_rgb(size, gather(&image, |p| [p[0]; 3]), channels),
        DynamicImage::ImageRgb16(image) => from_rgb(size, image.into_raw(), channels),
        DynamicImage::ImageLumaA16(image) => {
            from_rgba(size, gather(&image, |p| [p[0], p[0], p[0], p[1]]), channels)
        }
        DynamicImage::ImageRgba16(image) => from_rgba(size, image.into_raw(), channels),
        DynamicImage::ImageLumaA8(image) => {
            from_rgba(size, gather(&image, |p| [p[0], p[0], p[0], p[1]]), channels)
        }
        DynamicImage::ImageRgba8(image) => from_rgba(size, image.into_raw(), channels),
        other => from_rgb(size, other.into_rgb8().into_raw(), channels),
    }
}

fn from_rgb<S: Sample>([width, height]: [usize; 2], data: Vec<S>, channels: usize) -> Decoded
where
    Decoded: From<Pixels<S>>,
{
    Pixels::new(width, height, 3, data).rgb_into(channels).into()
}

fn from_rgba<S: Sample>(
    size @ [width, height]: [usize; 2],
    data: Vec<S>,
    channels: usize,
) -> Decoded
where
    Decoded: From<Pixels<S>>,
{
    if channels == 4 {
        return Pixels::new(width, height, 4, data).into();
    }
    let rgb = data.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    from_rgb(size, rgb, channels)
}

fn gather<P: Pixel, const N: usize>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    convert: impl Fn(&[P::Subpixel]) -> [P::Subpixel; N],
) -> Vec<P::Subpixel> {
    image.pixels().flat_map(|pixel| convert(pixel.channels())).collect()
}
