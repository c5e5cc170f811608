//! One masked picture as people see it: the original, what was visible, and what fills the hidden part.
//!
//! All pictures are `[C, H, W]` of display values, clamped to [0, 1]. Where a patch was visible, every one of them
//! shows it as it is: no loss trains what a model predicts there.

use std::cell::OnceCell;

use super::baseline;
use super::fidelity::HiddenError;
use super::views::View;
use crate::error::Result;
use crate::geometry::Geometry;

/// Brightness of hidden patches.
const GREY: f32 = 0.5;

/// A picture, its mask, and the pixel statistics that it is normalised with.
pub struct MaskedPicture<'a> {
    geometry: Geometry,
    mean: &'a [f32],
    std: &'a [f32],
    mask: &'a [bool],
    /// `[L, P]`, normalised.
    patches: Vec<f32>,
    original: Vec<f32>,
    /// `[H·W]`.
    hidden: Vec<bool>,
    /// Made when it is asked for.
    harmonic: OnceCell<Vec<f32>>,
}

impl<'a> MaskedPicture<'a> {
    /// Of `image` `[C, H, W]`, normalised by `mean` and `std` (a value per channel), and `mask` `[L]`, `true`
    /// where a patch is hidden.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when a length does not fit the geometry.
    pub fn new(
        geometry: Geometry,
        image: &[f32],
        mask: &'a [bool],
        mean: &'a [f32],
        std: &'a [f32],
    ) -> Result<Self> {
        let patches = geometry.patchify(image)?;
        let hidden = geometry.hidden_pixels(mask)?;
        let original = displayed(image, mean, std);
        let harmonic = OnceCell::new();
        Ok(Self { geometry, mean, std, mask, patches, original, hidden, harmonic })
    }

    /// Sizes of the picture and its patches.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The original.
    pub fn original(&self) -> &[f32] {
        &self.original
    }

    /// Hidden patches grey.
    pub fn masked(&self) -> Vec<f32> {
        let paint = |(&value, &hidden): (&f32, &bool)| if hidden { GREY } else { value };
        self.original.iter().zip(self.hidden.iter().cycle()).map(paint).collect()
    }

    /// Hidden patches filled by [`baseline::harmonic`].
    pub fn harmonic(&self) -> &[f32] {
        let width = self.geometry.image_size()[1];
        self.harmonic.get_or_init(|| baseline::harmonic(&self.original, width, &self.hidden))
    }

    /// Hidden patches in the mean colour of the visible ones.
    pub fn mean_color(&self) -> Vec<f32> {
        baseline::mean_color(&self.original, &self.hidden)
    }

    /// Hidden patches as predicted: `predicted` is `[L, P]`, see [`View::pixels`].
    ///
    /// # Errors
    /// As [`View::pixels`].
    pub fn reconstruction(&self, view: View, predicted: &[f32]) -> Result<Vec<f32>> {
        let Self { geometry, patches, mask, .. } = self;
        let pixels = view.pixels(geometry, predicted, patches, mask)?;
        let pasted = geometry.paste_visible(&pixels, patches, mask)?;
        Ok(displayed(&geometry.unpatchify(&pasted)?, self.mean, self.std))
    }

    /// The error of `shown`, one of the pictures above, on hidden pixels.
    pub fn error(&self, shown: &[f32]) -> HiddenError {
        HiddenError::of(shown, &self.original, &self.hidden)
    }
}

/// `image` `[C, H, W]` as display values.
fn displayed(image: &[f32], mean: &[f32], std: &[f32]) -> Vec<f32> {
    let planes = image.chunks_exact(image.len() / mean.len()).zip(mean.iter().zip(std));
    planes
        .flat_map(|(plane, (mean, std))| {
            plane.iter().map(move |x| (x * std + mean).clamp(0.0, 1.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry { channels: 3, grid: [2, 3], patch_size: [4, 4] };
    const MASK: [bool; 6] = [true, false, true, true, true, true];
    const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
    const STD: [f32; 3] = [0.2, 0.3, 0.4];

    /// The values of the pixel in the top left corner of a patch in the first row of patches.
    fn at(image: &[f32], patch: usize) -> [f32; 3] {
        [0, 1, 2].map(|channel| image[channel * 96 + 4 * patch])
    }

    #[test]
    fn visible_patches_are_shown_as_they_are() {
        let image = [1.0; 288];
        let picture = MaskedPicture::new(GEOMETRY, &image, &MASK, &MEAN, &STD).unwrap();
        let seen = [0.6, 0.8, 1.0];
        assert_eq!(picture.original().len(), 288);
        let predicted = [-1.0; 288];
        let raw = picture.reconstruction(View::Raw, &predicted).unwrap();
        for (shown, hidden) in [
            (picture.original(), seen),
            (&picture.masked(), [0.5; 3]),
            (&picture.mean_color(), seen),
            (picture.harmonic(), seen),
            (&raw, [0.2, 0.2, 0.2]),
        ] {
            for (patch, expected) in [(1, seen), (0, hidden)] {
                let found = at(shown, patch);
                let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                assert!(worst.fold(0.0, f32::max) < 1e-6, "{patch}: {found:?}, not {expected:?}");
            }
        }
        assert_eq!(picture.error(picture.original()).psnr(), Some(f64::INFINITY));
        let expected = 10.0 * (3.0 / (0.16_f64 + 0.36 + 0.64)).log10();
        assert!((picture.error(&raw).psnr().unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn lengths_are_checked() {
        let new = |image: &[f32], mask| {
            MaskedPicture::new(GEOMETRY, image, mask, &MEAN, &STD).map(|_| ())
        };
        assert!(new(&[1.0; 287], &MASK).is_err());
        assert!(new(&[1.0; 288], &MASK[1..]).is_err());
    }
}
