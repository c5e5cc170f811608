//! An RGB picture and its PNG file.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::files::atomic_write;

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
    /// Endings of the files that [`Self::write`] writes.
    pub const ENDINGS: [&'static str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

    /// A picture of `width × height` pixels over `rgb`, three bytes a pixel, row by row.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer bytes than that.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        let bytes = rgb.len();
        let image = RgbImage::from_raw(width, height, rgb).ok_or_else(|| {
            let problem = format!("{width}×{height} pixels need 3 bytes each, got {bytes} bytes");
            Error::argument("picture", problem)
        })?;
        Ok(Self { image })
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [u32; 2] {
        [self.image.height(), self.image.width()]
    }

    /// The pixels' bytes, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.image
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] when the format cannot hold the picture.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.encoded(ImageFormat::Png)
    }

    fn encoded(&self, format: ImageFormat) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let written = match format {
            // The encoder's own default is 75, which shows around edges.
            ImageFormat::Jpeg => {
                self.image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 95))
            }
            _ => self.image.write_to(&mut bytes, format),
        };
        written.map_err(|e| Error::DoesNotFit {
            problem: format!(
                "a picture of {}×{} pixels as {format:?} ({e}); draw fewer or smaller images",
                self.image.width(),
                self.image.height(),
            ),
            remedies: Vec::new(),
        })?;
        Ok(bytes.into_inner())
    }

    /// Writes a file of the format that its ending names, one of [`Self::ENDINGS`], atomically.
    ///
    /// # Errors
    /// [`Error::BadFile`] for another ending, [`Error::DoesNotFit`] when the format cannot hold the picture,
    /// [`Error::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.encoded(Self::format(path)?)?;
        atomic_write(path, |w| w.write_all(&bytes))
    }

    /// Checks that the ending of `path` names a format that is written.
    ///
    /// # Errors
    /// [`Error::BadFile`] names those that are.
    pub fn check_ending(path: &Path) -> Result<()> {
        Self::format(path).map(|_| ())
    }

    fn format(path: &Path) -> Result<ImageFormat> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
        let known = ending.filter(|ending| Self::ENDINGS.contains(&ending.as_str()));
        known.and_then(ImageFormat::from_extension).ok_or_else(|| {
            let endings = Self::ENDINGS.map(|ending| format!(".{ending}")).join(", ");
            Error::bad_file(path, format!("pictures are written as {endings}"))
        })
    }

    /// Writes a PNG file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written, or as [`Self::to_png`].
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let bytes = self.to_png()?;
        atomic_write(path, |w| w.write_all(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_what_their_endings_say() {
        let folder = tempfile::tempdir().unwrap();
        let picture = Picture::new(20, 10, [200, 100, 50].repeat(200)).unwrap();
        for ending in Picture::ENDINGS.iter().map(|e| e.to_string()).chain(["PNG".to_owned()]) {
            let path = folder.path().join(format!("a.{ending}"));
            picture.write(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), Picture::format(&path).unwrap());
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
            assert!(read.iter().zip(picture.rgb()).all(|(a, b)| a.abs_diff(*b) <= 3), "{ending}");
        }
        for bad in ["a", "a.gif", "a.tiff", "a.png.txt"] {
            let problem = Picture::check_ending(Path::new(bad)).unwrap_err().to_string();
            assert!(problem.contains(bad) && problem.contains(".png, .jpg"), "{problem}");
        }
    }
}
