//! Predictions as pixels: what a norm-pix prediction looks like.

use crate::error::{Error, Result};
use crate::geometry::{Geometry, statistics};
use crate::order::sort_indices;

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

    /// Predicted patches `[L, P]` as pixels. Statistics are those of the norm-pix loss: mean and
    /// unbiased variance over all values of a patch. `patches` are the image's; with
    /// [`Self::VisibleStatistics`], those that `mask` hides are never read.
    ///
    /// A hidden patch's estimated mean and standard deviation are averages over its
    /// four nearest visible patches (ties: the first in row-major order), weighted by inverse
    /// distance in patches; visible patches have their own.
    ///
    /// # Errors
    /// [`Error::Argument`] when a length does not fit the geometry, or no patch is visible.
    pub fn pixels(
        self,
        geometry: &Geometry,
        predicted: &[f32],
        patches: &[f32],
        mask: &[bool],
    ) -> Result<Vec<f32>> {
        geometry.check("prediction", predicted, mask)?;
        geometry.check("patches", patches, mask)?;
        if self == Self::Raw {
            return Ok(predicted.to_vec());
        }
        if self == Self::VisibleStatistics && mask.iter().all(|hidden| *hidden) {
            return Err(Error::argument(
                "mask",
                "hides every patch; statistics need a visible one",
            ));
        }
        let dim = geometry.patch_dim();
        let own = |i: usize| statistics(&patches[i * dim..][..dim]);
        let mut pixels = Vec::with_capacity(predicted.len());
        for (i, patch) in predicted.chunks_exact(dim).enumerate() {
            let (mean, std) = match self {
                Self::VisibleStatistics if mask[i] => neighbourhood(geometry.grid[1], i, mask, own),
                _ => own(i),
            };
            pixels.extend(patch.iter().map(|value| value * std + mean));
        }
        Ok(pixels)
    }
}

/// Mean and standard deviation of patch `at`, as its nearest visible patches suggest; `width` patches make a row.
fn neighbourhood(
    width: usize,
    at: usize,
    mask: &[bool],
    own: impl Fn(usize) -> (f32, f32),
) -> (f32, f32) {
    let square_distance = |i: usize| {
        let (dy, dx) = ((i / width).abs_diff(at / width), (i % width).abs_diff(at % width));
        dy * dy + dx * dx
    };
    let mut visible: Vec<usize> = (0..mask.len()).filter(|i| !mask[*i]).collect();
    sort_indices(&mut visible, &|a, b| square_distance(a).cmp(&square_distance(b)));
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
    fn a_perfect_prediction_with_true_statistics_is_the_image() {
        let patches = GEOMETRY.patchify(&image()).unwrap();
        let perfect = GEOMETRY.normalise(&patches).unwrap();
        let seen = View::TrueStatistics.pixels(&GEOMETRY, &perfect, &patches, &MASK).unwrap();
        let worst = seen.iter().zip(&patches).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
        assert_eq!(View::Raw.pixels(&GEOMETRY, &perfect, &patches, &MASK).unwrap(), perfect);
    }

    #[test]
    fn visible_statistics_never_read_hidden_pixels() {
        let patches = GEOMETRY.patchify(&image()).unwrap();
        let predicted = GEOMETRY.normalise(&patches).unwrap();
        let view = |patches: &[f32]| {
            View::VisibleStatistics.pixels(&GEOMETRY, &predicted, patches, &MASK).unwrap()
        };
        let spoil = |(i, &value): (usize, &f32)| if MASK[i / 12] { f32::NAN } else { value };
        let spoilt: Vec<f32> = patches.iter().enumerate().map(spoil).collect();
        assert_eq!(view(&patches), view(&spoilt));
        // A flat world is estimated exactly.
        let flat = vec![0.25; 144];
        let seen =
            View::VisibleStatistics.pixels(&GEOMETRY, &vec![0.0; 144], &flat, &MASK).unwrap();
        assert!(seen.iter().all(|v| (v - 0.25).abs() < 1e-6));
        let all = View::VisibleStatistics.pixels(&GEOMETRY, &predicted, &patches, &[true; 12]);
        assert!(all.unwrap_err().to_string().contains("visible"));
    }
}
