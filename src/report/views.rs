//! Reconstructions as pixels: patches and back, masks, and what a norm-pix prediction looks like.
//!
//! Images are `[C, H, W]`, patches `[L, P]` with pixels in (row, column, channel) order, masks `[L]`
//! with `true` where a patch was hidden.

use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// Added to a patch's variance, as in the norm-pix loss.
const EPS: f32 = 1e-6;
/// Visible patches that a hidden patch's statistics are estimated from.
const NEIGHBOURS: usize = 4;

/// How a norm-pix prediction, which has zero mean and unit variance in each patch, becomes pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As predicted; also the view for models with raw-pixel targets.
    Raw,
    /// With the hidden patch's own mean and standard deviation. Uses the answer.
    TrueStatistics,
    /// With mean and standard deviation estimated from the nearest visible patches. Does not leak
    /// hidden pixels.
    VisibleStatistics,
}

impl View {
    /// All views, in the order in which they are explained.
    pub const ALL: [Self; 3] = [Self::Raw, Self::TrueStatistics, Self::VisibleStatistics];

    /// The view that uses no hidden pixel, for a model whose targets are `normalised` patch by patch or not.
    pub fn honest(normalised: bool) -> Self {
        if normalised { Self::VisibleStatistics } else { Self::Raw }
    }

    /// A short caption.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw prediction",
            Self::TrueStatistics => "true patch statistics (uses the answer)",
            Self::VisibleStatistics => "statistics of visible neighbours",
        }
    }
}

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
    /// [`Error::Config`] when `image` has another number of values.
    pub fn patchify(&self, image: &[f32]) -> Result<Vec<f32>> {
        self.check_len("image", image.len(), self.num_patches() * self.patch_dim())?;
        Ok(self.pixels().map(|at| image[at]).collect())
    }

    /// `[L, P]` → `[C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Config`] when `patches` has another number of values.
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
    /// [`Error::Config`] when `patches` has another number of values.
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
    /// [`Error::Config`] when `mask` has another number of patches.
    pub fn hidden_pixels(&self, mask: &[bool]) -> Result<Vec<bool>> {
        self.check_len("mask", mask.len(), self.num_patches())?;
        let ([height, width], [p, q]) = (self.image_size(), self.patch_size);
        let hidden = |i: usize| mask[i / width / p * self.grid[1] + i % width / q];
        Ok((0..height * width).map(hidden).collect())
    }

    /// Predicted patches `[L, P]` with the visible ones replaced by the image's.
    ///
    /// # Errors
    /// [`Error::Config`] when a length does not fit the geometry.
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

    /// Predicted patches `[L, P]` as pixels. Statistics are those of the norm-pix loss: mean and
    /// unbiased variance over all values of a patch. `patches` are the image's; with
    /// [`View::VisibleStatistics`], those that `mask` hides are never read.
    ///
    /// A hidden patch's estimated mean and standard deviation are averages over its
    /// four nearest visible patches (ties: the first in row-major order), weighted by inverse
    /// distance in patches; visible patches have their own.
    ///
    /// # Errors
    /// [`Error::Config`] when a length does not fit the geometry, or no patch is visible.
    pub fn view(
        &self,
        view: View,
        predicted: &[f32],
        patches: &[f32],
        mask: &[bool],
    ) -> Result<Vec<f32>> {
        self.check("prediction", predicted, mask)?;
        self.check("patches", patches, mask)?;
        if view == View::Raw {
            return Ok(predicted.to_vec());
        }
        if view == View::VisibleStatistics && mask.iter().all(|hidden| *hidden) {
            return Err(Error::config("mask", "hides every patch; statistics need a visible one"));
        }
        let dim = self.patch_dim();
        let own = |i: usize| statistics(&patches[i * dim..][..dim]);
        let mut pixels = Vec::with_capacity(predicted.len());
        for (i, patch) in predicted.chunks_exact(dim).enumerate() {
            let (mean, std) = match view {
                View::VisibleStatistics if mask[i] => self.neighbourhood(i, mask, own),
                _ => own(i),
            };
            pixels.extend(patch.iter().map(|value| value * std + mean));
        }
        Ok(pixels)
    }

    /// Mean and standard deviation of patch `at`, as its nearest visible patches suggest.
    fn neighbourhood(
        &self,
        at: usize,
        mask: &[bool],
        own: impl Fn(usize) -> (f32, f32),
    ) -> (f32, f32) {
        let width = self.grid[1];
        let square_distance = |i: usize| {
            let (dy, dx) = ((i / width).abs_diff(at / width), (i % width).abs_diff(at % width));
            dy * dy + dx * dx
        };
        let mut visible: Vec<usize> = (0..mask.len()).filter(|i| !mask[*i]).collect();
        visible.sort_unstable_by_key(|&i| (square_distance(i), i));
        let (mut mean, mut std, mut total) = (0.0, 0.0, 0.0);
        for i in visible.into_iter().take(NEIGHBOURS) {
            let weight = 1.0 / (square_distance(i) as f32).sqrt();
            let (m, s) = own(i);
            mean += weight * m;
            std += weight * s;
            total += weight;
        }
        (mean / total, std / total)
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

    fn check(&self, what: &str, values: &[f32], mask: &[bool]) -> Result<()> {
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
        Err(Error::config(what, problem))
    }
}

/// Mean and standard deviation of a patch's values, as the norm-pix loss computes them: unbiased
/// variance plus 1e-6. A patch of one value has no variance.
fn statistics(patch: &[f32]) -> (f32, f32) {
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
    fn a_perfect_prediction_with_true_statistics_is_the_image() {
        let patches = GEOMETRY.patchify(&image()).unwrap();
        let perfect = GEOMETRY.normalise(&patches).unwrap();
        let seen = GEOMETRY.view(View::TrueStatistics, &perfect, &patches, &MASK).unwrap();
        let worst = seen.iter().zip(&patches).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
        assert_eq!(GEOMETRY.view(View::Raw, &perfect, &patches, &MASK).unwrap(), perfect);
    }

    #[test]
    fn visible_statistics_never_read_hidden_pixels() {
        let patches = GEOMETRY.patchify(&image()).unwrap();
        let predicted = GEOMETRY.normalise(&patches).unwrap();
        let view = |patches: &[f32]| {
            GEOMETRY.view(View::VisibleStatistics, &predicted, patches, &MASK).unwrap()
        };
        let spoil = |(i, &value): (usize, &f32)| if MASK[i / 12] { f32::NAN } else { value };
        let spoilt: Vec<f32> = patches.iter().enumerate().map(spoil).collect();
        assert_eq!(view(&patches), view(&spoilt));
        // A flat world is estimated exactly.
        let flat = vec![0.25; 144];
        let seen = GEOMETRY.view(View::VisibleStatistics, &vec![0.0; 144], &flat, &MASK).unwrap();
        assert!(seen.iter().all(|v| (v - 0.25).abs() < 1e-6));
        let all = GEOMETRY.view(View::VisibleStatistics, &predicted, &patches, &[true; 12]);
        assert!(all.unwrap_err().to_string().contains("visible"));
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
