//! torchvision's `ColorJitter`, with PIL's rounding of 8-bit pictures; of 16 bits the same between finer levels.

use serde::{Deserialize, Serialize};

use crate::data::pixels::{Pixels, Sample, luma};
use crate::error::{Error, Result};
use crate::philox::Rng;
use crate::setting::Setting;

/// Random changes of colour, each by a uniformly drawn factor, in a random order.
///
/// Brightness and contrast work for any number of channels; saturation and hue change RGB
/// pictures only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ColorJitter {
    /// Factor from `1 − brightness` to `1 + brightness`, at most 1.
    pub brightness: f32,
    /// Factor from `1 − contrast` to `1 + contrast`, at most 1.
    pub contrast: f32,
    /// Factor from `1 − saturation` to `1 + saturation`, at most 1.
    pub saturation: f32,
    /// Shift from `−hue` to `hue` of a full turn, at most 0.5.
    pub hue: f32,
}

impl ColorJitter {
    /// The strengths of the paper's Table 1e: 0.4, 0.4, 0.4, 0.1.
    pub fn paper() -> Self {
        Self { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }
    }

    /// Brightness, contrast and saturation by up to `strength`; the hue stays.
    pub fn of_strength(strength: f32) -> Self {
        Self { brightness: strength, contrast: strength, saturation: strength, hue: 0.0 }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Config`] names the field, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("saturation", self.saturation, 1.0),
            ("hue", self.hue, 0.5),
        ];
        for (name, value, most) in fields {
            if !(0.0..=most).contains(&value) {
                let problem = format!("its {name} must be between 0 and {most}, got {value}");
                return Err(Error::config(Setting::Jitter, problem));
            }
        }
        Ok(())
    }

    /// Changes `picture` in place by draws from `rng`.
    pub fn apply<S: Sample>(&self, picture: &mut Pixels<S>, rng: &mut Rng) {
        let mut order = [0, 1, 2, 3];
        rng.shuffle(&mut order);
        let mut factor = |strength: f32| rng.range(1.0 - strength, 1.0 + strength);
        let brightness = factor(self.brightness);
        let contrast = factor(self.contrast);
        let saturation = factor(self.saturation);
        let hue = rng.range(-self.hue, self.hue);
        for change in order {
            match change {
                0 => blend_all(picture, S::default(), brightness),
                1 => blend_all(picture, mean_luma(picture), contrast),
                2 => saturate(picture, saturation),
                _ => shift_hue(picture, hue),
            }
        }
    }
}

/// PIL's `Image.blend` of one sample: `from` at 0, `to` at 1, extrapolated beyond.
pub(super) fn blend<S: Sample>(from: S, to: S, factor: f32) -> S {
    let (from, to): (f32, f32) = (from.into(), to.into());
    S::cut(from + factor * (to - from))
}

pub(super) fn blend_all<S: Sample>(picture: &mut Pixels<S>, from: S, factor: f32) {
    for sample in &mut picture.data {
        *sample = blend(from, *sample, factor);
    }
}

/// Mean of the luma (of all samples where the picture is not RGB), rounded.
pub(super) fn mean_luma<S: Sample>(picture: &Pixels<S>) -> S {
    let level = |level: S| u64::from(Into::<u32>::into(level));
    let pixels = picture.data.as_chunks::<3>().0;
    let (sum, count): (u64, usize) = if picture.channels == 3 {
        (pixels.iter().map(|&rgb| level(luma(rgb))).sum(), pixels.len())
    } else {
        (picture.data.iter().map(|&v| level(v)).sum(), picture.data.len())
    };
    S::cut_f64(sum as f64 / count.max(1) as f64 + 0.5)
}

pub(super) fn saturate<S: Sample>(picture: &mut Pixels<S>, factor: f32) {
    if picture.channels == 3 {
        for rgb in picture.data.as_chunks_mut::<3>().0 {
            let grey = luma(*rgb);
            *rgb = rgb.map(|sample| blend(grey, sample, factor));
        }
    }
}

/// Turns the hue by `shift` of a full circle, in steps of 1/256 as PIL's 8-bit HSV has them.
fn shift_hue<S: Sample>(picture: &mut Pixels<S>, shift: f32) {
    let steps = (shift * 255.0) as i32;
    if picture.channels == 3 && steps != 0 {
        for rgb in picture.data.as_chunks_mut::<3>().0 {
            let [hue, saturation, value] = rgb_to_hsv(*rgb);
            let hue: u32 = hue.into();
            // A step of 8 bits; what is beyond the last level begins anew.
            let turned = hue.wrapping_add_signed(steps * (1 << (S::BITS - 8)));
            *rgb = hsv_to_rgb([S::low(turned), saturation, value]);
        }
    }
}

fn rgb_to_hsv<S: Sample>([r, g, b]: [S; 3]) -> [S; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [S::default(), S::default(), most];
    }
    let float = |level: S| -> f32 { level.into() };
    let spread = float(most) - float(least);
    let distance = |sample: S| (float(most) - float(sample)) / spread;
    let sixths = if r == most {
        distance(b) - distance(g)
    } else if g == most {
        2.0 + distance(r) - distance(b)
    } else {
        4.0 + distance(g) - distance(r)
    };
    let hue = (sixths / 6.0 + 1.0) % 1.0;
    let cut = |share: f32| S::cut(share * float(S::MAX));
    [cut(hue), cut(spread / float(most)), most]
}

fn hsv_to_rgb<S: Sample>([hue, saturation, value]: [S; 3]) -> [S; 3] {
    let float = |level: S| -> f32 { level.into() };
    let most = float(S::MAX);
    let (v, s) = (float(value), float(saturation) / most);
    let sixths = float(hue) * 6.0 / most;
    let part = sixths - sixths.floor();
    let round = |level: f32| S::cut(level.round());
    let p = round(v * (1.0 - s));
    let q = round(v * (1.0 - s * part));
    let t = round(v * (1.0 - s * (1.0 - part)));
    match sixths as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsv_of_the_primaries_and_back() {
        assert_eq!(rgb_to_hsv([255_u8, 0, 0]), [0, 255, 255]);
        assert_eq!(rgb_to_hsv([0, u16::MAX, 0]), [21_845, u16::MAX, u16::MAX]);
        assert_eq!(rgb_to_hsv([0_u8, 255, 0]), [85, 255, 255]);
        assert_eq!(rgb_to_hsv([0_u8, 0, 255]), [170, 255, 255]);
        assert_eq!(rgb_to_hsv([9_u8, 9, 9]), [0, 0, 9]);
        for rgb in [[255_u8, 0, 0], [0, 255, 0], [0, 0, 255], [7, 7, 7], [200, 100, 50]] {
            let back = hsv_to_rgb(rgb_to_hsv(rgb));
            assert!(rgb.iter().zip(back).all(|(a, b)| a.abs_diff(b) <= 2), "{rgb:?} {back:?}");
        }
    }

    #[test]
    fn single_changes_do_what_they_say() {
        let start = Pixels::<u8>::new(2, 1, 3, vec![100, 50, 20, 200, 250, 10]);
        let mut picture = start.clone();
        blend_all(&mut picture, 0, 1.3);
        assert_eq!(picture.data, [130, 65, 26, 255, 255, 13]);
        picture = start.clone();
        saturate(&mut picture, 0.0);
        assert_eq!(picture.at(0, 0), [62; 3]);
        picture = start.clone();
        let mean = mean_luma(&picture);
        blend_all(&mut picture, mean, 0.0);
        assert_eq!(picture.data, [mean; 6]);
        picture = Pixels::new(1, 1, 3, vec![255, 0, 0]);
        shift_hue(&mut picture, 0.34);
        assert_eq!(picture.data, hsv_to_rgb([86, 255, 255]));
        // A negative shift wraps around the circle.
        shift_hue(&mut picture, -0.34);
        assert!(picture.data[0] >= 250 && picture.data[1] <= 6);
    }

    #[test]
    fn nothing_changes_at_strength_zero() {
        let start = Pixels::<u8>::new(2, 2, 3, (0..12).map(|v| v * 20).collect());
        let none = ColorJitter::of_strength(0.0);
        let mut picture = start.clone();
        none.apply(&mut picture, &mut Rng::new(1, [0; 3]));
        assert_eq!(picture, start);
        ColorJitter::paper().apply(&mut picture, &mut Rng::new(1, [0; 3]));
        assert_ne!(picture, start);
    }

    /// What is left of one change tells its factor, which lies anywhere between the ends.
    #[test]
    fn factors_are_uniform_and_orders_random() {
        let grey = Pixels::<u16>::new(1, 1, 1, vec![20_000]);
        let brighter = ColorJitter { brightness: 0.4, ..ColorJitter::of_strength(0.0) };
        let factors: Vec<f64> = (0..4000)
            .map(|seed| {
                let mut picture = grey.clone();
                brighter.apply(&mut picture, &mut Rng::new(seed, [0; 3]));
                f64::from(picture.data[0]) / 20_000.0
            })
            .collect();
        assert!(factors.iter().all(|factor| (0.5999..=1.4).contains(factor)));
        for quarter in 0..4 {
            let ends = [0.6 + 0.2 * f64::from(quarter), 0.8 + 0.2 * f64::from(quarter)];
            let count = factors.iter().filter(|&&f| f >= ends[0] && f < ends[1]).count();
            assert!((900..1100).contains(&count), "{count} in {ends:?}");
        }
        // Three changes in six orders, of which none gives what another one gives.
        let start = Pixels::<u16>::new(2, 1, 3, vec![30_000, 9_000, 50, 400, 21_000, 60_000]);
        let mut seen = [0; 6];
        for seed in 0..1200 {
            let mut picture = start.clone();
            ColorJitter::of_strength(0.4).apply(&mut picture, &mut Rng::new(seed, [0; 3]));
            let mut rng = Rng::new(seed, [0; 3]);
            rng.shuffle(&mut [0, 1, 2, 3]);
            let [brightness, contrast, saturation] = [(); 3].map(|()| rng.range(0.6, 1.4));
            let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            let changed = orders.map(|order| {
                let mut picture = start.clone();
                for change in order {
                    match change {
                        0 => blend_all(&mut picture, 0, brightness),
                        1 => {
                            let mean = mean_luma(&picture);
                            blend_all(&mut picture, mean, contrast);
                        }
                        _ => saturate(&mut picture, saturation),
                    }
                }
                picture
            });
            let order = changed.iter().position(|changed| *changed == picture);
            seen[order.expect("one of the orders")] += 1;
        }
        assert!(seen.iter().all(|&count| count > 120), "{seen:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(ColorJitter::paper().validate().is_ok());
        assert!(ColorJitter { hue: 0.6, ..ColorJitter::paper() }.validate().is_err());
        assert!(ColorJitter { contrast: -0.1, ..ColorJitter::paper() }.validate().is_err());
        assert!(ColorJitter::of_strength(1.0).validate().is_ok());
        assert!(ColorJitter::of_strength(1.01).validate().is_err());
        assert!(ColorJitter { contrast: f32::NAN, ..ColorJitter::paper() }.validate().is_err());
    }
}
