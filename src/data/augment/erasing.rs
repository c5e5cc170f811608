//! Random erasing (Zhong et al. 2017): a rectangle of a normalised image becomes noise.

use serde::{Deserialize, Serialize};

use super::rectangle::Rectangle;
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Replaces, in some images, one rectangle by standard normal noise: timm's `RandomErasing` in
/// its mode `pixel`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RandomErasing {
    /// Share of the images, 0 to 1.
    pub probability: f32,
    /// The rectangle's share of the image's area, from and to, above 0 and at most 1; uniform.
    pub area: [f32; 2],
    /// The rectangle's width over its height, from and to, above 0; log-uniform.
    pub ratio: [f32; 2],
}

/// Draws of a rectangle before an image is left as it is.
const TRIES: usize = 10;

impl RandomErasing {
    /// What MAE fine-tunes with: a quarter of the images, areas from 0.02 to 1/3, ratios from 0.3
    /// to 1/0.3 (the paper's Table 9 names none of it; FAIR's `main_finetune.py` and timm do).
    pub fn paper() -> Self {
        Self { probability: 0.25, area: [0.02, 1.0 / 3.0], ratio: [0.3, 1.0 / 0.3] }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::config(Setting::Erasing, problem));
        let Self { probability, area: [small, large], ratio: [tall, wide] } = *self;
        if !(0.0..=1.0).contains(&probability) {
            return refuse(format!("its probability must be between 0 and 1, got {probability}"));
        }
        if !(small > 0.0 && small <= large && large <= 1.0) {
            return refuse(format!("its area must be 0 < from ≤ to ≤ 1, got {small} to {large}"));
        }
        if !(tall > 0.0 && tall <= wide && wide.is_finite()) {
            return refuse(format!("its ratio must be 0 < from ≤ to, got {tall} to {wide}"));
        }
        Ok(())
    }

    /// Erases a part of `image`, a normalised one of `shape` [channels, height, width], or leaves
    /// it alone. The part is narrower and lower than the image.
    pub fn apply(&self, image: &mut [f32], shape: [usize; 3], rng: &mut Rng) {
        if rng.uniform() >= self.probability {
            return;
        }
        let [_, height, width] = shape;
        let (area, ratio) = (self.area.map(f64::from), self.ratio.map(f64::from));
        let part = (0..TRIES).find_map(|_| {
            let part = Rectangle::draw([height, width], area, ratio, rng)?;
            (part.width < width && part.height < height).then_some(part)
        });
        for row in part.into_iter().flat_map(|part| part.rows(shape)) {
            image[row].fill_with(|| rng.normal());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [3, 40, 60];
    const UNTOUCHED: f32 = 1e6;

    fn erased(erasing: RandomErasing, shape: [usize; 3], seed: u64) -> Vec<f32> {
        let mut image = vec![UNTOUCHED; shape.iter().product()];
        erasing.apply(&mut image, shape, &mut Rng::new(seed, [0; 3]));
        image
    }

    fn always() -> RandomErasing {
        RandomErasing { probability: 1.0, ..RandomErasing::paper() }
    }

    #[test]
    fn one_rectangle_of_noise_through_all_channels() {
        let [channels, height, width] = SHAPE;
        let (mut shares, mut log_ratios, mut noise) = (0.0, 0.0, Vec::new());
        for seed in 0..2000 {
            let image = erased(always(), SHAPE, seed);
            let hit: Vec<usize> = (0..image.len()).filter(|&i| image[i] != UNTOUCHED).collect();
            let (xs, ys) = (hit.iter().map(|i| i % width), hit.iter().map(|i| i / width % height));
            let [wide, high] = [
                xs.clone().max().unwrap() - xs.min().unwrap() + 1,
                ys.clone().max().unwrap() - ys.min().unwrap() + 1,
            ];
            assert_eq!(hit.len(), channels * wide * high);
            let (share, ratio) = ((wide * high) as f64 / 2400.0, wide as f64 / high as f64);
            // Sides are rounded: half a pixel of at least four.
            assert!((0.017..0.36).contains(&share) && wide < width && high < height, "{share}");
            assert!((0.25..4.0).contains(&ratio), "{ratio}");
            shares += share / 2000.0;
            log_ratios += ratio.ln() / 2000.0;
            noise.extend(hit.iter().map(|&i| f64::from(image[i])));
        }
        // Uniform areas, log-uniform ratios; the largest are wider than low where both do not fit.
        assert!((shares - 0.17).abs() < 0.01, "{shares}");
        assert!((log_ratios - 0.05).abs() < 0.06, "{log_ratios}");
        let moment = |n| noise.iter().map(|x| x.powi(n)).sum::<f64>() / noise.len() as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.01);
        assert!((moment(4) - 3.0).abs() < 0.05, "normal: {}", moment(4));
    }

    #[test]
    fn as_many_images_as_asked_for() {
        let count = |erasing: RandomErasing| {
            let changed = |&seed: &u64| erased(erasing, SHAPE, seed).iter().any(|&x| x < UNTOUCHED);
            (0..2000).filter(changed).count()
        };
        assert!((440..560).contains(&count(RandomErasing::paper())));
        assert_eq!(count(RandomErasing { probability: 0.0, ..always() }), 0);
        assert_eq!(count(always()), 2000);
    }

    #[test]
    fn small_images_and_seeds() {
        for shape in [[3, 1, 1], [1, 1, 50], [4, 50, 1]] {
            assert!(erased(always(), shape, 0).iter().all(|&x| x == UNTOUCHED));
        }
        let whole = RandomErasing { area: [1.0; 2], ratio: [1.0; 2], ..always() };
        assert!(erased(whole, [1, 9, 9], 0).iter().all(|&x| x == UNTOUCHED));
        assert_eq!(erased(always(), SHAPE, 3), erased(always(), SHAPE, 3));
        assert_ne!(erased(always(), SHAPE, 3), erased(always(), SHAPE, 4));
    }

    #[test]
    fn nonsense_is_refused() {
        let paper = RandomErasing::paper();
        assert!(paper.validate().is_ok());
        for wrong in [
            RandomErasing { probability: 1.1, ..paper },
            RandomErasing { probability: f32::NAN, ..paper },
            RandomErasing { area: [0.0, 0.5], ..paper },
            RandomErasing { area: [0.5, 1.5], ..paper },
            RandomErasing { area: [0.5, 0.4], ..paper },
            RandomErasing { ratio: [0.0, 1.0], ..paper },
            RandomErasing { ratio: [1.0, f32::INFINITY], ..paper },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
