//! From levels to the numbers the network sees, and back.

#[cfg(feature = "native")]
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::augment::transform::Augment;
use super::indices::fixed_indices;
use super::pixels::{Decoded, Pixels, Sample};
use super::sources::source::ImageSource;
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Mean and standard deviation of each channel, for values in 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, above 0.
    pub std: Vec<f32>,
}

impl Normalization {
    /// ImageNet's RGB figures, which the published weights expect.
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// Given figures.
    ///
    /// # Errors
    /// [`Error::Config`] if they do not pair up, are not finite, or a deviation is not positive.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        let given = Self { mean, std };
        given.validate(given.mean.len())?;
        Ok(given)
    }

    /// Checks that there is one usable pair for each of `channels`.
    ///
    /// # Errors
    /// [`Error::Config`] says what was found and what is needed.
    pub fn validate(&self, channels: usize) -> Result<()> {
        let (means, stds) = (self.mean.len(), self.std.len());
        if channels == 0 || means != channels || stds != channels {
            let problem = format!(
                "{means} means and {stds} standard deviations for {channels} channels; give one \
                 of each per channel, or have them measured from the data"
            );
            return Err(Error::config(Setting::Mean, problem));
        }
        if let Some(bad) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(Error::config(Setting::Mean, format!("must be finite, got {bad}")));
        }
        if let Some(bad) = self.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            return Err(Error::config(Setting::Std, format!("must be above 0, got {bad}")));
        }
        Ok(())
    }

    /// Measures the figures over all pixels of at most `limit` pictures of `source`, a subset
    /// drawn from `seed`. Unreadable pictures are left out; the same data and seed give the same
    /// figures. A channel that never changes gets a deviation of 1.
    ///
    /// # Errors
    /// The first picture's error if none could be read.
    pub fn measure(source: &dyn ImageSource, limit: usize, seed: u64) -> Result<Self> {
        let chosen = fixed_indices(source.len(), limit, seed);
        #[cfg(feature = "native")]
        let chosen = chosen.par_iter();
        #[cfg(not(feature = "native"))]
        let chosen = chosen.iter();
        let sums = chosen
            .map(|&index| {
                source.decode(index as usize).map(|picture| match picture {
                    Decoded::Eight(picture) => Sums::of(&picture),
                    #[cfg(feature = "native")]
                    Decoded::Sixteen(picture) => Sums::of(&picture),
                })
            })
            .collect::<Vec<_>>();
        let mut total = Sums::default();
        let mut problem = None;
        for sum in sums {
            match sum {
                Ok(sum) => total.add(&sum),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        match problem {
            Some(error) if total.pixels == 0 => Err(error),
            _ if total.pixels == 0 => Err(Error::config(Setting::Data, "no picture to measure")),
            _ => Ok(total.normalization()),
        }
    }

    /// `picture` (HWC) as normalised CHW values into `out` of the same length: `(level / highest − mean) / std`.
    ///
    /// # Panics
    /// If `out` or the number of channels does not fit the picture.
    pub fn normalise<S: Sample>(&self, picture: &Pixels<S>, out: &mut [f32]) {
        let (channels, size) = (picture.channels, picture.width * picture.height);
        assert_eq!((out.len(), self.mean.len()), (picture.data.len(), channels), "one value each");
        for (channel, plane) in out.chunks_exact_mut(size).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let value = S::normaliser(mean, std);
            match channels {
                1 => fill::<1, S>(&picture.data, channel, value, plane),
                3 => fill::<3, S>(&picture.data, channel, value, plane),
                4 => fill::<4, S>(&picture.data, channel, value, plane),
                _ => {
                    let levels = picture.data.iter().skip(channel).step_by(channels);
                    plane.iter_mut().zip(levels).for_each(|(out, &level)| *out = value(level));
                }
            }
        }
    }

    /// `picture` cut and resized to `[height, width]` as `augment` says, which must draw nothing at
    /// random, as normalised CHW values.
    ///
    /// # Errors
    /// [`Error::Argument`] for a picture too thin to be resized.
    ///
    /// # Panics
    /// If the number of channels does not fit the picture.
    pub fn still(
        &self,
        picture: &Decoded,
        augment: &Augment,
        size @ [height, width]: [usize; 2],
    ) -> Result<Vec<f32>> {
        let mut values = vec![0.0; picture.channels() * height * width];
        let rng = &mut Rng::new(0, [0; 3]);
        match picture {
            Decoded::Eight(picture) => {
                self.normalise(&augment.apply(picture, size, rng)?, &mut values);
            }
            #[cfg(feature = "native")]
            Decoded::Sixteen(picture) => {
                self.normalise(&augment.apply(picture, size, rng)?, &mut values);
            }
        }
        Ok(values)
    }

    /// Normalised CHW `values` of a `[height, width]` picture back as bytes, rounded and clamped.
    ///
    /// # Panics
    /// If `values` does not hold `channels · height · width` numbers.
    pub fn denormalise(&self, values: &[f32], [height, width]: [usize; 2]) -> Pixels {
        let (channels, size) = (self.mean.len(), height * width);
        assert_eq!(values.len(), channels * size, "{channels} × {height} × {width} values");
        let mut picture = Pixels::zeros(width, height, channels);
        for (channel, plane) in values.chunks_exact(size).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let bytes = picture.data.iter_mut().skip(channel).step_by(channels);
            let back = |value: f32| ((value * std + mean) * 255.0).round() as u8;
            bytes.zip(plane).for_each(|(byte, &value)| *byte = back(value));
        }
        picture
    }
}

/// What `value` says of the level of one channel of each pixel of `C`.
fn fill<const C: usize, S: Sample>(
    data: &[S],
    channel: usize,
    value: impl Fn(S) -> f32,
    out: &mut [f32],
) {
    for (out, pixel) in out.iter_mut().zip(data.as_chunks::<C>().0) {
        *out = value(pixel[channel]);
    }
}

/// Exact integer sums, so that no order of addition changes the result.
#[derive(Debug, Default)]
struct Sums {
    pixels: u64,
    /// Per channel: sum and sum of squares of levels of 16 bits.
    channels: Vec<[u128; 2]>,
}

impl Sums {
    fn of<S: Sample>(picture: &Pixels<S>) -> Self {
        let channel = |c: usize| {
            let levels = picture.data.iter().skip(c).step_by(picture.channels);
            levels.fold([0u64; 2], |[sum, squares], &level| {
                let level = u64::from(Into::<u32>::into(level));
                [sum + level, squares + level * level]
            })
        };
        let scale = u128::from(u16::STEP / S::STEP);
        let scaled = |[sum, squares]: [u64; 2]| {
            [u128::from(sum) * scale, u128::from(squares) * scale * scale]
        };
        let channels = (0..picture.channels).map(|c| scaled(channel(c))).collect();
        Self { pixels: (picture.width * picture.height) as u64, channels }
    }

    fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        self.channels.resize(other.channels.len(), [0; 2]);
        for (mine, theirs) in self.channels.iter_mut().zip(&other.channels) {
            *mine = [mine[0] + theirs[0], mine[1] + theirs[1]];
        }
    }

    fn normalization(&self) -> Normalization {
        let pixels = self.pixels as f64;
        let figures = self.channels.iter().map(|&[sum, squares]| {
            let highest = f64::from(u16::MAX);
            let mean = sum as f64 / pixels / highest;
            let variance = (squares as f64 / pixels / (highest * highest) - mean * mean).max(0.0);
            // Less than a level of 16 bits is rounding.
            let std = if variance < 1e-11 { 1.0 } else { variance.sqrt() };
            (mean as f32, std as f32)
        });
        let (mean, std) = figures.unzip();
        Normalization { mean, std }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sources::memory::Memory;
    use super::*;

    #[test]
    fn normalise_is_what_torch_computes_and_denormalise_undoes_it() {
        let picture = Pixels::<u8>::new(2, 1, 3, vec![0, 128, 255, 10, 20, 30]);
        let imagenet = Normalization::imagenet();
        let mut values = [0.0; 6];
        imagenet.normalise(&picture, &mut values);
        let expected = [
            -2.117_904,
            (10.0 / 255.0 - 0.485) / 0.229,
            (128.0 / 255.0 - 0.456) / 0.224,
            (20.0 / 255.0 - 0.456) / 0.224,
            (1.0 - 0.406) / 0.225,
            (30.0 / 255.0 - 0.406) / 0.225,
        ];
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
        assert_eq!(imagenet.denormalise(&values, [1, 2]), picture);
        assert_eq!(imagenet.denormalise(&[9.0; 3], [1, 1]).data, [255; 3]);
    }

    #[test]
    fn channels_become_planes() {
        for channels in 1..=5 {
            let picture = Pixels::<u8>::new(2, 2, channels, (0..4 * channels as u8).collect());
            let means = (0..channels).map(|c| c as f32).collect();
            let given = Normalization::new(means, vec![0.5; channels]).unwrap();
            let mut values = vec![0.0; 4 * channels];
            given.normalise(&picture, &mut values);
            for (i, value) in values.iter().enumerate() {
                let (channel, pixel) = (i / 4, i % 4);
                let byte = (pixel * channels + channel) as f32;
                assert_eq!(*value, (byte / 255.0 - channel as f32) / 0.5, "{channels} channels");
            }
        }
    }

    #[test]
    fn sixteen_bits_keep_every_level() {
        let picture = Pixels::<u16>::new(4, 1, 1, vec![0, 1, 4095, 65_535]);
        let half = Normalization::new(vec![0.5], vec![0.25]).unwrap();
        let mut values = [0.0; 4];
        half.normalise(&picture, &mut values);
        let expected = [-2.0, -1.999_939, -1.750_057_3, 2.0];
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
        assert_eq!(half.still(&picture.into(), &Augment::none(), [1, 4]).unwrap(), values);
    }

    /// Pictures of 8 and of 16 bits count alike.
    #[test]
    fn both_depths_have_the_same_figures() {
        let levels = [3_u8, 90, 90, 200];
        let figures = |pictures: &[Decoded]| {
            let mut memory = Memory::new(1);
            pictures.iter().for_each(|picture| memory.push(picture.clone()));
            Normalization::measure(&memory, 10, 0).unwrap()
        };
        let eight = Decoded::from(Pixels::<u8>::new(4, 1, 1, levels.to_vec()));
        let wide = levels.map(|level| u16::from(level) * 257).to_vec();
        let sixteen = Decoded::from(Pixels::<u16>::new(4, 1, 1, wide));
        let alone = figures(std::slice::from_ref(&eight));
        assert_eq!(alone, figures(std::slice::from_ref(&sixteen)));
        assert_eq!(alone, figures(&[eight, sixteen]));
        assert!((alone.mean[0] - 383.0 / 1020.0).abs() < 1e-6, "{alone:?}");
        let flat = Decoded::from(Pixels::<u16>::new(2, 1, 1, vec![77, 77]));
        assert_eq!(figures(&[flat]).std, [1.0]);
    }

    #[test]
    fn figures_are_checked() {
        assert!(Normalization::new(vec![0.5], vec![0.0]).is_err());
        assert!(Normalization::new(vec![0.5], vec![]).is_err());
        assert!(Normalization::new(vec![], vec![]).is_err());
        assert!(Normalization::new(vec![f32::NAN], vec![1.0]).is_err());
        let problem = Normalization::imagenet().validate(4).unwrap_err().to_string();
        assert!(problem.contains("3 means") && problem.contains("4 channels"));
    }

    #[test]
    fn survives_serialisation() {
        let json = serde_json::to_string(&Normalization::imagenet()).unwrap();
        let back: Normalization = serde_json::from_str(&json).unwrap();
        assert_eq!(back, Normalization::imagenet());
    }
}
