//! RandAugment (Cubuk et al. 2019): a few changes of each picture, drawn at random.

use serde::{Deserialize, Serialize};

use super::change::Change;
use crate::data::pixels::{Pixels, Sample};
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// A few changes of colour or geometry out of timm's fifteen, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RandAugment {
    /// Mean strength of a change, 0 to 10.
    pub magnitude: f32,
    /// Standard deviation of the strengths, 0 to 10; each is drawn anew and cut to 0 to 10.
    pub deviation: f32,
    /// Draws of a change per picture, at most 15; the same one may come again.
    pub ops: u32,
    /// Probability with which a change that was drawn is made, 0 to 1.
    pub probability: f32,
}

/// The largest magnitude.
const MOST: f32 = 10.0;

impl RandAugment {
    /// The paper's fine-tuning (Table 9), magnitude 9 and deviation 0.5; in timm's notation
    /// `rand-m9-mstd0.5-inc1`, which makes each of two changes with probability 0.5.
    pub fn paper() -> Self {
        Self { magnitude: 9.0, deviation: 0.5, ops: 2, probability: 0.5 }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("magnitude", self.magnitude, MOST),
            ("deviation", self.deviation, MOST),
            ("number of ops", self.ops as f32, Change::ALL.len() as f32),
            ("probability", self.probability, 1.0),
        ];
        for (name, value, most) in fields {
            if !(0.0..=most).contains(&value) {
                let problem = format!("its {name} must be between 0 and {most}, got {value}");
                return Err(Error::config(Setting::RandAugment, problem));
            }
        }
        Ok(())
    }

    /// Changes `picture` in place by draws from `rng`; its size stays.
    pub fn apply<S: Sample>(&self, picture: &mut Pixels<S>, rng: &mut Rng) {
        for _ in 0..self.ops {
            let change = Change::ALL[rng.below(Change::ALL.len() as u32) as usize];
            if rng.uniform() < self.probability {
                let strength = self.strength(rng);
                let negative = rng.uniform() < 0.5;
                change.apply(picture, strength, if negative { -strength } else { strength });
            }
        }
    }

    /// A draw from 0 (nothing) to 1 (magnitude 10).
    fn strength(&self, rng: &mut Rng) -> f32 {
        (self.magnitude + self.deviation * rng.normal()).clamp(0.0, MOST) / MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn augmented(augment: RandAugment, start: &Pixels, seed: u64) -> Pixels {
        let mut picture = start.clone();
        augment.apply(&mut picture, &mut Rng::new(seed, [0; 3]));
        picture
    }

    fn noise() -> Pixels {
        let mut rng = Rng::new(1, [1; 3]);
        Pixels::new(20, 20, 3, (0..1200).map(|_| rng.below(128) as u8).collect())
    }

    #[test]
    fn each_change_as_often_as_the_others_in_both_directions() {
        let start = noise();
        let draw = |augment| (0..6000).map(|seed| augmented(augment, &start, seed)).collect();
        let count = |draws: &Vec<Pixels>, wanted: &Pixels| {
            draws.iter().filter(|&picture| picture == wanted).count()
        };
        let one = RandAugment { deviation: 0.0, ops: 1, ..RandAugment::paper() };
        let always = RandAugment { probability: 1.0, ..one };
        let draws = draw(always);
        for change in Change::ALL {
            let [forth, back] = [0.9, -0.9].map(|signed| {
                let mut picture = start.clone();
                change.apply(&mut picture, 0.9, signed);
                picture
            });
            let counts = [&forth, &back].map(|picture| count(&draws, picture));
            let each = if forth == back { 330..470 } else { 150..250 };
            assert!(counts.iter().all(|count| each.contains(count)), "{change:?} {counts:?}");
        }
        assert_eq!(count(&draws, &start), 0);
        let unchanged = |augment| count(&draw(augment), &start);
        assert!((2850..3150).contains(&unchanged(one)));
        assert!((1400..1620).contains(&unchanged(RandAugment { ops: 2, ..one })));
        assert_eq!(unchanged(RandAugment { ops: 0, ..always }), 6000);
        assert_eq!(unchanged(RandAugment { probability: 0.0, ..one }), 6000);
    }

    #[test]
    fn strengths_are_normal_and_cut_off() {
        let mut rng = Rng::new(2, [0; 3]);
        let mut draw = |magnitude, deviation| {
            let augment = RandAugment { magnitude, deviation, ..RandAugment::paper() };
            (0..10_000).map(|_| f64::from(augment.strength(&mut rng))).collect::<Vec<_>>()
        };
        let draws = draw(5.0, 1.0);
        let mean = draws.iter().sum::<f64>() / 1e4;
        let deviation = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!(
            (mean - 0.5).abs() < 0.004 && (deviation - 0.1).abs() < 0.003,
            "{mean} {deviation}"
        );
        assert!(draw(3.0, 0.0).iter().all(|x| (x - 0.3).abs() < 1e-6));
        // Beyond two deviations: 2.3 %.
        let draws = draw(9.0, 0.5);
        assert!(draws.iter().all(|&x| x <= 1.0));
        assert!((170..290).contains(&draws.iter().filter(|&&x| x == 1.0).count()));
        assert!(draw(0.0, 1.0).iter().all(|&x| x >= 0.0));
    }

    #[test]
    fn same_seed_same_picture() {
        let draw = |seed| augmented(RandAugment { ops: 6, ..RandAugment::paper() }, &noise(), seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn nonsense_is_refused() {
        let paper = RandAugment::paper();
        assert!(paper.validate().is_ok());
        for wrong in [
            RandAugment { magnitude: 10.5, ..paper },
            RandAugment { deviation: -1.0, ..paper },
            RandAugment { deviation: f32::NAN, ..paper },
            RandAugment { ops: 16, ..paper },
            RandAugment { probability: 1.5, ..paper },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
