//! An image and its patches in host memory: cutting, putting together, statistics, masks.
//!
//! Images are `[C, H, W]`, patches `[L, P]` with pixels in (row, column, channel) order, masks `[L]`
//! with `true` where a patch was hidden.

use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// Added to a patch's variance, as in the norm-pix loss.
const EPS: f32 = 1e-6;

/// Sizes of an image and its patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Channels of the image.
    pub channels: usize,
    /// Patches per column and per row.
    pub grid: [usize; 2],
    /// Patch height and width in pixels.
    pub patch_size: [usize; 2],
}

impl From<&ModelConfig> for Geometry {
    fn from(config: &ModelConfig) -> Self {
        Self { channels: config.channels, grid: config.grid(), patch_size: config.patch_size }
    }
}

impl Geometry {
    /// Image height and width in pixels.
    pub fn image_size(&self) -> [usize; 2] {
        [self.grid[0] * self.patch_size[0], self.grid[1] * self.patch_size[1]]
    }

    /// Number of patches, `L`.
    pub fn num_patches(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Values of one patch, `P`.
    pub fn patch_dim(&self) -> usize {
        self.patch_size[0] * self.patch_size[1] * self.channels
    }

    /// `[C, H, W]` → `[L, P]`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `image` has another number of values.
    pub fn patchify(&self, image: &[f32]) -> Result<Vec<f32>> {
        self.check_len("image", image.len(), self.num_patches() * self.patch_dim())?;
        Ok(self.pixels().map(|at| image[at]).collect())
    }

    /// `[L, P]` → `[C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `patches` has another number of values.
    pub fn unpatchify(&self, patches: &[f32]) -> Result<Vec<f32>> {
        self.check_len("patches", patches.len(), self.num_patches() * self.patch_dim())?;
        let mut image = vec![0.0; patches.len()];
        for (at, value) in self.pixels().zip(patches) {
            image[at] = *value;
        }
        Ok(image)
    }

    /// Patches `[L, P]`, each by its own mean and standard deviation, as norm-pix targets are.
    ///
    /// # Errors
    /// [`Error::Argument`] when `patches` has another number of values.
    pub fn normalise(&self, patches: &[f32]) -> Result<Vec<f32>> {
        self.check_len("patches", patches.len(), self.num_patches() * self.patch_dim())?;
        let normalise = |patch: &[f32]| {
            let (mean, std) = statistics(patch);
            patch.iter().map(move |value| (value - mean) / std).collect::<Vec<f32>>()
        };
        Ok(patches.chunks_exact(self.patch_dim()).flat_map(normalise).collect())
    }

    /// For each pixel `[H·W]` whether `mask` `[L]` hides its patch.
    ///
    /// # Errors
    /// [`Error::Argument`] when `mask` has another number of patches.
    pub fn hidden_pixels(&self, mask: &[bool]) -> Result<Vec<bool>> {
        self.check_len("mask", mask.len(), self.num_patches())?;
        let ([height, width], [p, q]) = (self.image_size(), self.patch_size);
        let hidden = |i: usize| mask[i / width / p * self.grid[1] + i % width / q];
        Ok((0..height * width).map(hidden).collect())
    }

    /// Predicted patches `[L, P]` with the visible ones replaced by the image's.
    ///
    /// # Errors
    /// [`Error::Argument`] when a length does not fit the geometry.
    pub fn paste_visible(
        &self,
        predicted: &[f32],
        patches: &[f32],
        mask: &[bool],
    ) -> Result<Vec<f32>> {
        self.check("prediction", predicted, mask)?;
        self.check("patches", patches, mask)?;
        let choose =
            |(i, (predicted, seen)): (usize, (&f32, &f32))| match mask[i / self.patch_dim()] {
                true => *predicted,
                false => *seen,
            };
        Ok(predicted.iter().zip(patches).enumerate().map(choose).collect())
    }

    /// Position in the image of each value of the patches, in their order.
    fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        let Self { channels, grid, patch_size: [p, q] } = *self;
        let [height, width] = self.image_size();
        (0..grid[0] * grid[1] * p * q * channels).map(move |i| {
            let (rest, channel) = (i / channels, i % channels);
            let (rest, column) = (rest / q, rest % q);
            let (patch, row) = (rest / p, rest % p);
            let (y, x) = (patch / grid[1] * p + row, patch % grid[1] * q + column);
            (channel * height + y) * width + x
        })
    }

    /// Checks the lengths of patches `[L, P]` and a mask `[L]`.
    pub(crate) fn check(&self, what: &str, values: &[f32], mask: &[bool]) -> Result<()> {
        self.check_len("mask", mask.len(), self.num_patches())?;
        self.check_len(what, values.len(), self.num_patches() * self.patch_dim())
    }

    fn check_len(&self, what: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let ([h, w], channels) = (self.image_size(), self.channels);
        let problem = format!(
            "{found} values, but an image of {channels} × {h} × {w} in {} patches needs {expected}",
            self.num_patches(),
        );
        Err(Error::argument(what, problem))
    }
}

/// Mean and standard deviation of a patch's values, as the norm-pix loss computes them: unbiased
/// variance plus 1e-6. A patch of one value has no variance.
pub(crate) fn statistics(patch: &[f32]) -> (f32, f32) {
    let n = patch.len() as f64;
    let mean = patch.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares: f64 = patch.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let variance = squares / (n - 1.0).max(1.0);
    (mean as f32, (variance as f32 + EPS).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { channels: 2, grid: [3, 4], patch_size: [2, 3] };
    const MASK: [bool; 12] =
        [true, false, true, true, false, true, true, true, true, true, true, false];

    fn image() -> Vec<f32> {
        (0..144).map(|i| ((i * 37) % 101) as f32 / 101.0).collect()
    }

    #[test]
    fn patches_hold_rows_of_columns_of_channels() {
        let image = image();
        let patches = GEOMETRY.patchify(&image).unwrap();
        // Patch 5 is in row 1, column 1; its value 7 is row 1, column 0, channel 1.
        assert_eq!(patches[5 * 12 + 7], image[72 + 3 * 12 + 3]);
        assert_eq!(GEOMETRY.unpatchify(&patches).unwrap(), image);
        assert!(GEOMETRY.patchify(&image[1..]).unwrap_err().to_string().contains("needs 144"));
    }

    #[test]
    fn pixels_are_hidden_with_their_patch() {
        let hidden = GEOMETRY.hidden_pixels(&MASK).unwrap();
        let planes = [hidden.clone(), hidden].concat();
        let flags: Vec<f32> = planes.iter().map(|&hidden| f32::from(u8::from(hidden))).collect();
        let patches = GEOMETRY.patchify(&flags).unwrap();
        for (patch, hidden) in patches.chunks_exact(12).zip(MASK) {
            assert_eq!(patch, [f32::from(u8::from(hidden)); 12]);
        }
    }

    #[test]
    fn pasting_keeps_what_was_seen() {
        let patches = GEOMETRY.patchify(&image()).unwrap();
        let pasted = GEOMETRY.paste_visible(&vec![7.0; 144], &patches, &MASK).unwrap();
        for (i, hidden) in MASK.into_iter().enumerate() {
            let patch = &pasted[i * 12..][..12];
            assert_eq!(patch == vec![7.0; 12], hidden);
            assert!(hidden || patch == &patches[i * 12..][..12]);
        }
    }
}
