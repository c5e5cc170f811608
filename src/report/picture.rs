//! An RGB picture and its PNG file.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::files::atomic_write;

/// An 8-bit RGB picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
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
        let mut bytes = Cursor::new(Vec::new());
        self.image.write_to(&mut bytes, ImageFormat::Png).map_err(|e| Error::DoesNotFit {
            problem: format!(
                "a picture of {}×{} pixels as PNG ({e}); draw fewer or smaller images",
                self.image.width(),
                self.image.height(),
            ),
            remedies: Vec::new(),
        })?;
        Ok(bytes.into_inner())
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
