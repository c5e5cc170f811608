//! From a decoded picture to the model's size: crops, flips and colour, as torchvision draws them.

use serde::{Deserialize, Serialize};

use super::color::ColorJitter;
#[cfg(feature = "labels")]
use super::erasing::RandomErasing;
#[cfg(feature = "labels")]
use super::rand_augment::RandAugment;
use super::rectangle::Rectangle;
use super::resize::{resize, resize_part, shorter_side_to};
#[cfg(not(feature = "labels"))]
use crate::absent::{Absent as RandAugment, Absent as RandomErasing};
use crate::data::pixels::{Pixels, Sample};
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::remedy::Remedy;
use crate::setting::Setting;

/// Which part of a picture becomes the sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// A random part, resized to the target (torchvision's `RandomResizedCrop`).
    RandomResized {
        /// Share of the picture's area, from and to.
        scale: [f64; 2],
        /// Width over height, from and to; drawn log-uniformly.
        ratio: [f64; 2],
    },
    /// The picture resized to just cover the target, cropped at a random place (the paper's
    /// "crop, fixed size").
    RandomFixed,
    /// The picture resized to cover `margin` times the target, cropped in its centre. 1 keeps as
    /// much as possible; ImageNet's protocol (resize to 256, crop 224) is 256/224.
    Center {
        /// Size of the resized picture over the target's, at least 1.
        margin: f64,
    },
    /// The whole picture resized to the target, whatever its proportions.
    None,
}

impl Crop {
    /// A random part of another share of the area, from and to.
    ///
    /// # Errors
    /// [`Error::Config`] for crops whose size is not random.
    pub fn with_scale(self, scale: [f64; 2]) -> Result<Self> {
        match self {
            Self::RandomResized { ratio, .. } => Ok(Self::RandomResized { scale, ratio }),
            _ => Err(Error::Config {
                setting: Setting::CropScale,
                problem: "is of crops of random size, and these are not".to_owned(),
                remedies: vec![Remedy::set(Setting::Crop, "random")],
            }),
        }
    }
}

/// A crop by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum CropName {
    /// A random part (RandomResizedCrop): 20 to 100 % of the area in pre-training, 8 to 100 % else
    Random,
    /// The picture resized to cover the size, cropped at a random place
    Fixed,
    /// The same, cropped in the centre
    Center,
    /// The whole picture resized, whatever its proportions
    None,
}

impl CropName {
    /// The crop, where `usual` is what training is done with.
    pub fn crop(self, usual: &Augment) -> Crop {
        match self {
            Self::Random => usual.crop,
            Self::Fixed => Crop::RandomFixed,
            Self::Center => Augment::center().crop,
            Self::None => Crop::None,
        }
    }
}

/// What is done to each sample. All randomness comes from the generator passed in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Augment {
    /// The part of the picture.
    pub crop: Crop,
    /// Mirror half of the samples.
    pub flip: bool,
    /// Change colours.
    pub jitter: Option<ColorJitter>,
    /// Change colours and shapes, for training with labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Cover a rectangle with noise, after normalisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasing: Option<RandomErasing>,
}

impl Augment {
    /// The paper's pre-training augmentation: RandomResizedCrop(scale 0.2–1, ratio 3/4–4/3) and
    /// horizontal flips.
    pub fn pretrain() -> Self {
        let crop = Crop::RandomResized { scale: [0.2, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
        Self { crop, flip: true, ..Self::none() }
    }

    /// RandomResizedCrop(scale 0.08–1, ratio 3/4–4/3) and horizontal flips, as torchvision has them by
    /// default: linear probing, and what fine-tuning begins with.
    pub fn classify() -> Self {
        let crop = Crop::RandomResized { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
        Self { crop, flip: true, ..Self::none() }
    }

    /// Evaluation: the centre of the picture, nothing random.
    pub fn center() -> Self {
        Self { crop: Crop::Center { margin: 1.0 }, ..Self::none() }
    }

    /// The whole picture resized, nothing random.
    pub fn none() -> Self {
        Self { crop: Crop::None, flip: false, jitter: None, rand_augment: None, erasing: None }
    }

    /// Whether a picture always gives the same sample.
    pub fn is_fixed(&self) -> bool {
        matches!(self.crop, Crop::Center { .. } | Crop::None)
            && *self == Self { crop: self.crop, ..Self::none() }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::config(Setting::Crop, problem));
        match self.crop {
            Crop::RandomResized { scale: [low, high], .. }
                if !(low > 0.0 && low <= high && high <= 1.0) =>
            {
                let problem = format!("must be 0 < from ≤ to ≤ 1, got {low} to {high}");
                return Err(Error::config(Setting::CropScale, problem));
            }
            Crop::RandomResized { ratio: [low, high], .. }
                if !(low > 0.0 && low <= high && high.is_finite()) =>
            {
                return refuse(format!("its ratio must be 0 < from ≤ to, got {low} to {high}"));
            }
            Crop::Center { margin } if !(1.0..=MAX_MARGIN).contains(&margin) => {
                return refuse(format!(
                    "its margin must be between 1 and {MAX_MARGIN}, got {margin}"
                ));
            }
            _ => {}
        }
        #[cfg(feature = "labels")]
        {
            self.rand_augment.map_or(Ok(()), |rand_augment| rand_augment.validate())?;
            self.erasing.map_or(Ok(()), |erasing| erasing.validate())?;
        }
        self.jitter.map_or(Ok(()), |jitter| jitter.validate())
    }

    /// Makes `picture` into one of `[height, width]` pixels; what follows normalisation is left out.
    ///
    /// # Errors
    /// [`Error::Argument`] if the picture is so long and thin that covering the target would need
    /// more than [`MAX_RESIZED`] pixels.
    pub fn apply<S: Sample>(
        &self,
        picture: &Pixels<S>,
        size: [usize; 2],
        rng: &mut Rng,
    ) -> Result<Pixels<S>> {
        let [height, width] = size;
        let whole = Rectangle { left: 0, top: 0, width: picture.width, height: picture.height };
        let mut sample = match self.crop {
            Crop::RandomResized { scale, ratio } => {
                let part = random_part(picture, scale, ratio, rng);
                let kept = Rectangle { left: 0, top: 0, width, height };
                resize_part(picture, part, [width, height], kept)
            }
            Crop::RandomFixed => {
                let covering = cover(picture, size)?;
                let left = rng.below((covering[0] - width + 1) as u32) as usize;
                let top = rng.below((covering[1] - height + 1) as u32) as usize;
                let kept = Rectangle { left, top, width, height };
                resize_part(picture, whole, covering, kept)
            }
            Crop::Center { margin } => {
                let grow = |extent: usize| ((extent as f64 * margin).round() as usize).max(extent);
                let covering = cover(picture, [grow(height), grow(width)])?;
                resize_part(picture, whole, covering, center(covering, size))
            }
            Crop::None => resize(picture, width, height),
        };
        if let Some(jitter) = &self.jitter {
            jitter.apply(&mut sample, rng);
        }
        if self.flip && rng.uniform() < 0.5 {
            sample.flip_horizontal();
        }
        #[cfg(feature = "labels")]
        if let Some(rand_augment) = &self.rand_augment {
            rand_augment.apply(&mut sample, rng);
        }
        Ok(sample)
    }
}

/// The largest margin of [`Crop::Center`].
const MAX_MARGIN: f64 = 8.0;

/// Pixels of a resized picture before its crop: beyond, a picture is refused.
pub const MAX_RESIZED: u64 = 1 << 26;

/// `picture` cut to its central `[height, width]` pixels; the offset is half the difference,
/// rounded half to even, as in torchvision. A picture that is smaller stays as it is there.
pub fn center_crop<S: Sample>(picture: &Pixels<S>, size: [usize; 2]) -> Pixels<S> {
    let part = center([picture.width, picture.height], size);
    picture.crop(part.left, part.top, part.width, part.height)
}

/// The central `[height, width]` of `[full width, full height]` pixels.
fn center(full: [usize; 2], [height, width]: [usize; 2]) -> Rectangle {
    let offset = |have: usize, want: usize| {
        (have.saturating_sub(want) as f64 / 2.0).round_ties_even() as usize
    };
    Rectangle { left: offset(full[0], width), top: offset(full[1], height), width, height }
}

/// The smallest `[width, height]`, in proportion to `picture`'s, that covers `[height, width]`.
fn cover<S: Sample>(picture: &Pixels<S>, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
    let (to_width, to_height) = if height == width {
        shorter_side_to(width, (picture.width, picture.height))
    } else if picture.width as u64 * height as u64 <= picture.height as u64 * width as u64 {
        (width, picture.height * width / picture.width)
    } else {
        (picture.width * height / picture.height, height)
    };
    if to_width as u64 * to_height as u64 > MAX_RESIZED {
        let problem = format!(
            "{} × {} pixels would grow to {to_width} × {to_height} to cover {width} × {height}, \
             over the limit of {MAX_RESIZED} pixels: crop the picture first",
            picture.width, picture.height,
        );
        return Err(Error::argument("picture", problem));
    }
    Ok([to_width, to_height])
}

/// The rectangle of torchvision's `RandomResizedCrop`: ten tries, then the largest central part
/// within the ratios.
fn random_part<S: Sample>(
    picture: &Pixels<S>,
    scale: [f64; 2],
    ratio: [f64; 2],
    rng: &mut Rng,
) -> Rectangle {
    let (full_width, full_height) = (picture.width, picture.height);
    let mut draw = || Rectangle::draw([full_height, full_width], scale, ratio, rng);
    if let Some(part) = (0..10).find_map(|_| draw()) {
        return part;
    }
    let aspect = (full_width as f64 / full_height as f64).clamp(ratio[0], ratio[1]);
    let fit = |value: f64, limit: usize| (value.round_ties_even() as usize).clamp(1, limit);
    let width = fit(full_height as f64 * aspect, full_width);
    let height = fit(full_width as f64 / aspect, full_height);
    Rectangle { left: (full_width - width) / 2, top: (full_height - height) / 2, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Pixels {
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x * 3 + y * 7) as u8));
        Pixels::new(width, height, 1, rows.collect())
    }

    #[test]
    fn random_resized_crop_has_the_areas_and_ratios_asked_for() {
        let picture = ramp(400, 300);
        let (scale, ratio) = ([0.2, 1.0], [3.0 / 4.0, 4.0 / 3.0]);
        let mut rng = Rng::new(1, [0; 3]);
        let parts: Vec<Rectangle> =
            (0..4000).map(|_| random_part(&picture, scale, ratio, &mut rng)).collect();
        let areas: Vec<f64> =
            parts.iter().map(|p| (p.width * p.height) as f64 / 120_000.0).collect();
        let ratios = parts.iter().map(|p| p.width as f64 / p.height as f64);
        assert!(areas.iter().all(|a| (0.195..=1.0).contains(a)));
        assert!(ratios.clone().all(|r| (0.735..=1.36).contains(&r)));
        // Of uniform shares and log-uniform ratios a, those with share ≤ 3/4·a fit into 4:3: their
        // means are integrals.
        let mean = areas.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.494).abs() < 0.01, "mean area {mean}");
        let log_ratio = ratios.map(f64::ln).sum::<f64>() / 4000.0;
        assert!((log_ratio - 0.037).abs() < 0.01, "mean log ratio {log_ratio}");
        assert!(parts.iter().all(|p| p.left + p.width <= 400 && p.top + p.height <= 300));
        let left = parts.iter().map(|p| (2 * p.left + p.width) as f64).sum::<f64>() / 8000.0;
        assert!((left - 200.0).abs() < 4.0, "mean centre {left}");
    }

    #[test]
    fn impossible_ratios_fall_back_to_the_centre() {
        let part = random_part(&ramp(1000, 2), [0.9, 1.0], [0.75, 1.25], &mut Rng::new(0, [0; 3]));
        assert_eq!((part.left, part.top, part.width, part.height), (499, 0, 2, 2));
    }

    #[test]
    fn every_crop_gives_the_size_asked_for() {
        let crops = [
            Augment::pretrain().crop,
            Crop::RandomFixed,
            Crop::Center { margin: 1.0 },
            Crop::Center { margin: 256.0 / 224.0 },
            Crop::None,
        ];
        for (width, height) in [(1, 1), (1, 50), (33, 20), (64, 64), (7, 90)] {
            for (crop, size) in crops.iter().flat_map(|&c| [(c, [16, 16]), (c, [9, 31])]) {
                let augment = Augment { crop, flip: true, ..Augment::none() };
                let mut rng = Rng::new(3, [0; 3]);
                let sample = augment.apply(&ramp(width, height), size, &mut rng).unwrap();
                assert_eq!([sample.height, sample.width], size, "{crop:?} of {width}×{height}");
            }
        }
    }

    #[test]
    fn center_crop_rounds_half_to_even() {
        let row = Pixels::<u8>::new(9, 1, 1, (0..9).collect());
        assert_eq!(center_crop(&row, [1, 8]).data[0], 0);
        assert_eq!(center_crop(&row, [1, 6]).data[0], 2);
        assert_eq!(center_crop(&row, [5, 20]).data.len(), 9);
    }

    #[test]
    fn thin_pictures_are_refused_before_they_grow() {
        let thin = Pixels::<u8>::zeros(1_000_000, 1, 1);
        let problem = Augment::center().apply(&thin, [224, 224], &mut Rng::new(0, [0; 3]));
        assert!(problem.unwrap_err().to_string().contains("limit"));
    }

    #[test]
    fn nonsense_is_refused() {
        let with = |crop| Augment { crop, ..Augment::none() }.validate();
        assert!(with(Crop::RandomResized { scale: [0.0, 1.0], ratio: [1.0, 1.0] }).is_err());
        assert!(with(Crop::RandomResized { scale: [0.5, 1.0], ratio: [2.0, 1.0] }).is_err());
        assert!(with(Crop::Center { margin: f64::NAN }).is_err());
        assert!(Augment::pretrain().validate().is_ok());
        let scaled = |crop: Crop| crop.with_scale([0.5, 0.9]);
        let Crop::RandomResized { scale, .. } = scaled(Augment::classify().crop).unwrap() else {
            panic!("a random part");
        };
        assert_eq!(scale, [0.5, 0.9]);
        let refused = scaled(Crop::RandomFixed).unwrap_err().to_string();
        assert!(refused.contains("crop_scale") && refused.contains("try crop random"), "{refused}");
    }
}
