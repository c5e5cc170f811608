//! How close pictures are where it counts: on hidden pixels alone, in decibels.

use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// Peak signal-to-noise ratio on hidden pixels, in dB: −10 log₁₀ of the mean squared error of display values in
/// [0, 1], over all channels and all pictures together. Of a model, and of two baselines that learn nothing, on
/// the same pixels; the visible ones, which are given, are never counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// What the model predicts.
    pub model: f64,
    /// See [`harmonic`](super::baseline::harmonic).
    pub harmonic: f64,
    /// See [`mean_color`](super::baseline::mean_color).
    pub mean_color: f64,
}

/// Squared error over the hidden pixels of one or more pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HiddenError {
    squares: f64,
    values: usize,
}

impl HiddenError {
    /// Of `shown` against `original`, both `[C, H, W]` in display values, where `hidden` `[H·W]` says so.
    pub fn of(shown: &[f32], original: &[f32], hidden: &[bool]) -> Self {
        let mut error = Self::default();
        for ((&shown, &original), _) in
            shown.iter().zip(original).zip(hidden.iter().cycle()).filter(|&(_, &hidden)| hidden)
        {
            error.squares += f64::from(shown - original).powi(2);
            error.values += 1;
        }
        error
    }

    /// Decibels: infinite without an error, none where nothing is hidden.
    pub fn psnr(self) -> Option<f64> {
        (self.values > 0).then(|| -10.0 * (self.squares / self.values as f64).log10())
    }
}

impl Sum for HiddenError {
    fn sum<I: Iterator<Item = Self>>(errors: I) -> Self {
        errors.fold(Self::default(), |a, b| Self {
            squares: a.squares + b.squares,
            values: a.values + b.values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hidden_values_count() {
        let original = [0.5, 0.5, 0.5, 0.2, 0.2, 0.2];
        let shown = [0.5, 0.6, f32::NAN, 0.2, 0.3, 9.0];
        let hidden = [true, true, false];
        let error = HiddenError::of(&shown, &original, &hidden);
        // Two of four values are off by 0.1.
        assert!((error.psnr().unwrap() - 10.0 * 200f64.log10()).abs() < 1e-5);
        let exact = HiddenError::of(&original, &original, &hidden);
        assert_eq!(exact.psnr(), Some(f64::INFINITY));
        // Pooled, not the mean of two ratios: half the error.
        let both: HiddenError = [error, exact].into_iter().sum();
        assert!((both.psnr().unwrap() - 10.0 * 400f64.log10()).abs() < 1e-5);
        assert_eq!(HiddenError::of(&shown, &original, &[false; 3]).psnr(), None);
    }
}
