//! Images and labels mixed in pairs: MixUp (Zhang et al. 2017) and CutMix (Yun et al. 2019), and
//! the smoothed labels that they start from.

use serde::{Deserialize, Serialize};

use super::rectangle::Rectangle;
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Mixes each image of a batch with its partner, all by one draw: timm's `Mixup` in its mode
/// `batch`.
///
/// Sample i's partner is sample B − 1 − i; the middle one of an odd batch stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// MixUp draws its λ from Beta(mixup, mixup); 0 is off.
    pub mixup: f32,
    /// CutMix draws its λ from Beta(cutmix, cutmix); 0 is off.
    pub cutmix: f32,
    /// Share of the batches that are mixed, 0 to 1.
    pub probability: f32,
    /// Share of CutMix among them where both are on, 0 to 1.
    pub switch: f32,
}

impl Mix {
    /// The paper's fine-tuning (Table 9): MixUp 0.8, CutMix 1.0, one of them for every batch.
    pub fn paper() -> Self {
        Self { mixup: 0.8, cutmix: 1.0, probability: 1.0, switch: 0.5 }
    }

    /// No mixing.
    pub fn off() -> Self {
        Self { mixup: 0.0, cutmix: 0.0, probability: 0.0, switch: 0.0 }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Argument`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        for (setting, value) in [(Setting::Mixup, self.mixup), (Setting::Cutmix, self.cutmix)] {
            if !(0.0..=f32::MAX).contains(&value) {
                return Err(Error::config(setting, format!("must be at least 0, got {value}")));
            }
        }
        let shares = [("mix probability", self.probability), ("mix switch", self.switch)];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                let problem = format!("must be between 0 and 1, got {value}");
                return Err(Error::argument(name, problem));
            }
        }
        Ok(())
    }

    /// Whether no batch is ever changed.
    pub fn is_off(&self) -> bool {
        self.probability == 0.0 || (self.mixup == 0.0 && self.cutmix == 0.0)
    }

    /// Mixes B `images` of `shape` [channels, height, width] and, by the same λ, their `targets`:
    /// B rows of class probabilities.
    ///
    /// # Panics
    /// If `images` are not whole ones, or `targets` not as many rows.
    pub fn apply(&self, images: &mut [f32], shape: [usize; 3], targets: &mut [f32], rng: &mut Rng) {
        let image_len: usize = shape.iter().product();
        let batch = images.len() / image_len;
        assert_eq!(images.len(), batch * image_len, "whole images");
        assert_eq!(targets.len() % batch.max(1), 0, "one row of targets for each image");
        if batch == 0 || self.is_off() || rng.uniform() >= self.probability {
            return;
        }
        let both = self.mixup > 0.0 && self.cutmix > 0.0;
        let cut = if both { rng.uniform() < self.switch } else { self.cutmix > 0.0 };
        let mut lambda = beta(if cut { self.cutmix } else { self.mixup }, rng);
        if cut {
            let part = cut_part(lambda, shape, rng);
            lambda = 1.0 - (part.width * part.height) as f64 / (shape[1] * shape[2]) as f64;
            for_pairs(images, image_len, |one, other| {
                part.rows(shape).for_each(|row| one[row.clone()].swap_with_slice(&mut other[row]));
            });
        } else {
            for_pairs(images, image_len, |one, other| blend(one, other, lambda as f32));
        }
        for_pairs(targets, targets.len() / batch, |one, other| blend(one, other, lambda as f32));
    }
}

/// Calls `mix` with each sample, of `len` values, and its partner.
fn for_pairs(values: &mut [f32], len: usize, mix: impl Fn(&mut [f32], &mut [f32])) {
    let (front, back) = values.split_at_mut(values.len() / len / 2 * len);
    let partners = back.chunks_exact_mut(len).rev();
    front.chunks_exact_mut(len).zip(partners).for_each(|(one, other)| mix(one, other));
}

/// Both become λ of themselves and 1 − λ of the other.
fn blend(one: &mut [f32], other: &mut [f32], lambda: f32) {
    for (a, b) in one.iter_mut().zip(other) {
        (*a, *b) = (lambda * *a + (1.0 - lambda) * *b, lambda * *b + (1.0 - lambda) * *a);
    }
}

/// CutMix's part: 1 − λ of the area in the image's own proportions, its centre anywhere, cut off
/// at the edges. Sides are even, as in the paper's code.
fn cut_part(lambda: f64, [_, height, width]: [usize; 3], rng: &mut Rng) -> Rectangle {
    let mut span = |full: usize| {
        let half = (full as f64 * (1.0 - lambda).sqrt()) as usize / 2;
        let center = rng.below(full as u32) as usize;
        (center.saturating_sub(half), (center + half).min(full))
    };
    let ((top, bottom), (left, right)) = (span(height), span(width));
    Rectangle { left, top, width: right - left, height: bottom - top }
}

/// A draw from Beta(a, a), a > 0: x / (x + y) of two Gamma variables, by their logarithms, which
/// small a cannot underflow.
fn beta(a: f32, rng: &mut Rng) -> f64 {
    let [x, y] = [log_gamma_variable(a.into(), rng), log_gamma_variable(a.into(), rng)];
    1.0 / (1.0 + (y - x).exp())
}

/// The logarithm of a draw from Gamma(shape, 1) (Marsaglia & Tsang 2000, "A simple method for
/// generating gamma variables").
fn log_gamma_variable(shape: f64, rng: &mut Rng) -> f64 {
    // Uniform in (0, 1].
    let log_uniform = |rng: &mut Rng| (1.0 - f64::from(rng.uniform())).ln();
    if shape < 1.0 {
        return log_gamma_variable(shape + 1.0, rng) + log_uniform(rng) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(rng.normal());
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && log_uniform(rng) < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return (d * v).ln();
        }
    }
}

/// Rows of `classes` probabilities, one row for each of `labels`: 1 − s + s/C for the label's
/// class, s/C for the others, with s = `smoothing`, 0 to 1 (Szegedy et al. 2016).
///
/// # Panics
/// If a label is not below `classes`.
pub fn soft_targets(labels: &[u32], classes: usize, smoothing: f32) -> Vec<f32> {
    let off = smoothing / classes as f32;
    let mut targets = vec![off; labels.len() * classes];
    for (row, &label) in targets.chunks_exact_mut(classes).zip(labels) {
        row[label as usize] += 1.0 - smoothing;
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [2, 12, 20];
    const IMAGE: usize = 2 * 12 * 20;

    /// `batch` images, number i all of level i + 1, with classes of their own; then mixed.
    fn mixed(mix: Mix, batch: usize, rng: &mut Rng) -> (Vec<f32>, Vec<f32>) {
        let mut images: Vec<f32> = (0..batch * IMAGE).map(|i| (i / IMAGE + 1) as f32).collect();
        let labels: Vec<u32> = (0..batch as u32).collect();
        let mut targets = soft_targets(&labels, batch, 0.0);
        mix.apply(&mut images, SHAPE, &mut targets, rng);
        (images, targets)
    }

    fn only_mixup(mixup: f32) -> Mix {
        Mix { mixup, cutmix: 0.0, ..Mix::paper() }
    }

    fn only_cutmix(cutmix: f32) -> Mix {
        Mix { mixup: 0.0, cutmix, ..Mix::paper() }
    }

    #[test]
    fn targets_are_the_shares_of_the_images() {
        let mut rng = Rng::new(1, [0; 3]);
        let kinds = [only_mixup(0.8), only_cutmix(1.0), Mix::paper()];
        for (round, mix) in (0..600).zip(kinds.into_iter().cycle()) {
            let batch = 1 + round % 5;
            let (images, targets) = mixed(mix, batch, &mut rng);
            for (i, (image, row)) in images.chunks(IMAGE).zip(targets.chunks(batch)).enumerate() {
                let partner = batch - 1 - i;
                assert_eq!(row[i], if i == partner { 1.0 } else { targets[0] }, "one λ for all");
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
                assert!((0..batch).all(|j| j == i || j == partner || row[j] == 0.0), "{row:?}");
                let level: f32 =
                    row.iter().zip(1_u8..).map(|(s, level)| s * f32::from(level)).sum();
                for plane in image.chunks(IMAGE / 2) {
                    let mean = plane.iter().sum::<f32>() / plane.len() as f32;
                    assert!((mean - level).abs() < 1e-3, "{mix:?} {i}/{batch}: {mean} {level}");
                }
            }
        }
    }

    #[test]
    fn cutmix_pastes_one_rectangle_and_mixup_blends() {
        let mut rng = Rng::new(2, [0; 3]);
        for _ in 0..200 {
            let (images, targets) = mixed(only_cutmix(1.0), 2, &mut rng);
            let pasted: Vec<usize> = (0..IMAGE / 2).filter(|&i| images[i] == 2.0).collect();
            let (xs, ys) = (pasted.iter().map(|i| i % 20), pasted.iter().map(|i| i / 20));
            let extent = |at: &mut dyn Iterator<Item = usize>| {
                let at: Vec<usize> = at.collect();
                at.iter().max().map_or(0, |most| most - at.iter().min().unwrap() + 1)
            };
            assert_eq!(pasted.len(), extent(&mut xs.clone()) * extent(&mut ys.clone()));
            assert!((targets[1] - pasted.len() as f32 / 240.0).abs() < 1e-6);
            assert!((0..IMAGE).all(|i| images[i] + images[IMAGE + i] == 3.0), "a swap");
            assert!(images.iter().all(|&x| x == 1.0 || x == 2.0));
        }
        // λ = ½: 14 × 8 of 20 × 12 pixels, but 7 × 4 around the corner (0, 0).
        let shares = (0..2000).map(|_| mixed(only_cutmix(1e6), 2, &mut rng).1[1] * 240.0);
        let (least, most) = shares.fold((240.0_f32, 0.0_f32), |(a, b), x| (a.min(x), b.max(x)));
        assert_eq!([least.round(), most.round()], [28.0, 112.0]);
        let (images, targets) = mixed(only_mixup(1e6), 2, &mut rng);
        assert!((targets[0] - 0.5).abs() < 0.01 && targets[0] != 0.5);
        assert!(images[..IMAGE].iter().all(|&x| (x - 1.0 - targets[1]).abs() < 1e-6));
    }

    #[test]
    fn as_many_batches_of_each_kind_as_asked_for() {
        let mut rng = Rng::new(3, [0; 3]);
        // λ ≈ ½ throughout, so that each kind shows.
        let mix = Mix { mixup: 1e4, cutmix: 1e4, probability: 0.5, switch: 0.25 };
        let [mut none, mut cut] = [0, 0];
        for _ in 0..4000 {
            let (images, targets) = mixed(mix, 2, &mut rng);
            none += usize::from(targets[0] == 1.0);
            cut += usize::from(targets[0] < 1.0 && images.iter().all(|x| x.fract() == 0.0));
        }
        assert!((1900..2100).contains(&none) && (430..570).contains(&cut), "{none} {cut}");
        for off in [only_mixup(0.0), Mix { probability: 0.0, ..Mix::paper() }] {
            assert!(off.is_off());
            assert_eq!(mixed(off, 3, &mut rng).1, soft_targets(&[0, 1, 2], 3, 0.0));
        }
        assert!([Mix::paper(), only_mixup(0.1), only_cutmix(0.1)].iter().all(|mix| !mix.is_off()));
        Mix::paper().apply(&mut [], SHAPE, &mut [], &mut rng);
    }

    #[test]
    fn beta_has_its_moments() {
        let mut rng = Rng::new(4, [0; 3]);
        let n = 40_000;
        for a in [0.05, 0.8, 1.0, 3.0] {
            let draws: Vec<f64> = (0..n).map(|_| beta(a, &mut rng)).collect();
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)));
            let moment =
                |power| draws.iter().map(|x| (x - 0.5).powi(power)).sum::<f64>() / f64::from(n);
            let spread = 2.0 * f64::from(a) + 1.0;
            let expected = [0.0, 0.25 / spread, 0.0, 0.1875 / (spread * (spread + 2.0))];
            for (power, expected) in (1..).zip(expected) {
                let found = moment(power);
                assert!((found - expected).abs() < 0.01 * 0.5_f64.powi(power - 1), "{a} {power}");
            }
        }
        assert!(
            (0..1000).all(|_| [1e-30, 1e-3, 1e30].iter().all(|&a| !beta(a, &mut rng).is_nan()))
        );
    }

    #[test]
    fn gamma_has_its_mean_of_logarithms() {
        let mut rng = Rng::new(5, [0; 3]);
        // ψ(½) = −γ − 2 ln 2, ψ(1) = −γ, ψ(2) = 1 − γ.
        let euler = 0.577_215_664_901_532_9;
        for (shape, expected) in [(0.5, -euler - 4_f64.ln()), (1.0, -euler), (2.0, 1.0 - euler)] {
            let draws = (0..40_000).map(|_| log_gamma_variable(shape, &mut rng));
            let mean = draws.sum::<f64>() / 40_000.0;
            assert!((mean - expected).abs() < 0.04, "{shape}: {mean} for {expected}");
        }
    }

    #[test]
    fn smoothed_labels() {
        assert_eq!(soft_targets(&[2, 0], 3, 0.0), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let smooth = soft_targets(&[1], 4, 0.1);
        let close = |(a, b): (&f32, f32)| (a - b).abs() < 1e-6;
        assert!(smooth.iter().zip([0.025, 0.925, 0.025, 0.025]).all(close), "{smooth:?}");
    }

    #[test]
    fn same_seed_same_mix_and_nonsense_is_refused() {
        let draw = |seed| mixed(Mix::paper(), 4, &mut Rng::new(seed, [0; 3]));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let paper = Mix::paper();
        assert!(paper.validate().is_ok() && only_mixup(0.0).validate().is_ok());
        for wrong in [
            only_mixup(-0.1),
            only_cutmix(f32::NAN),
            only_cutmix(f32::INFINITY),
            Mix { probability: 1.1, ..paper },
            Mix { switch: -0.1, ..paper },
        ] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }
}
