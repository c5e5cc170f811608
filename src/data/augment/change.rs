//! The changes of a picture that RandAugment draws from: timm's "increasing" set, which all do
//! more at a higher strength, with PIL's 8-bit arithmetic; of 16 bits the same between finer levels.

use super::affine::{rotation, transform};
use super::color::{blend, blend_all, mean_luma, saturate};
use crate::data::pixels::{Pixels, Sample};

/// What can be done to a picture. Each channel is changed on its own; saturation changes RGB
/// pictures only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Saturation,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AutoContrast,
        Self::Equalize,
        Self::Invert,
        Self::Rotate,
        Self::Posterize,
        Self::Solarize,
        Self::SolarizeAdd,
        Self::Saturation,
        Self::Contrast,
        Self::Brightness,
        Self::Sharpness,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
    ];

    /// Makes the change with a `strength` from 0 to 1, or with `signed`, the same under a sign,
    /// where there are two directions. What a strength of 1 does is timm's choice.
    pub fn apply<S: Sample>(self, picture: &mut Pixels<S>, strength: f32, signed: f32) {
        let factor = 1.0 + 0.9 * signed;
        let most: u32 = S::MAX.into();
        let inverted = |level: u32| most - level;
        let (width, height) = (picture.width as f64, picture.height as f64);
        let signed = f64::from(signed);
        match self {
            Self::AutoContrast => map_bands(picture, stretched),
            Self::Equalize => map_bands(picture, equalized),
            Self::Invert => map_levels(picture, inverted),
            Self::Rotate => transform(picture, rotation(width, height, 30.0 * signed)),
            Self::Posterize => {
                let bits = 4 - (4.0 * strength) as u32;
                map_levels::<S>(picture, |level| level & (u32::MAX << (S::BITS - bits)));
            }
            Self::Solarize => {
                let least = (256 - (256.0 * strength) as u32) << (S::BITS - 8);
                map_levels::<S>(picture, |l| if l < least { l } else { inverted(l) });
            }
            Self::SolarizeAdd => {
                let (middle, add) = (128 << (S::BITS - 8), (110.0 * strength) as u32 * S::STEP);
                map_levels::<S>(picture, |level| if level < middle { level + add } else { level });
            }
            Self::Saturation => saturate(picture, factor),
            Self::Contrast => {
                let mean = mean_luma(picture);
                blend_all(picture, mean, factor);
            }
            Self::Brightness => blend_all(picture, S::default(), factor),
            Self::Sharpness => sharpen(picture, factor),
            Self::ShearX => transform(picture, [[1.0, 0.3 * signed, 0.0], [0.0, 1.0, 0.0]]),
            Self::ShearY => transform(picture, [[1.0, 0.0, 0.0], [0.3 * signed, 1.0, 0.0]]),
            Self::TranslateX => {
                transform(picture, [[1.0, 0.0, 0.45 * signed * width], [0.0, 1.0, 0.0]]);
            }
            Self::TranslateY => {
                transform(picture, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.45 * signed * height]]);
            }
        }
    }
}

fn map_levels<S: Sample>(picture: &mut Pixels<S>, change: impl Fn(u32) -> u32) {
    picture.data.iter_mut().for_each(|level| *level = S::low(change((*level).into())));
}

/// Gives each channel the levels that `levels` makes of its histogram, one for each of the old, if any.
fn map_bands<S: Sample>(picture: &mut Pixels<S>, levels: impl Fn(&[usize]) -> Option<Vec<S>>) {
    let place = |level: S| Into::<u32>::into(level) as usize;
    for channel in 0..picture.channels {
        let band = || (channel..picture.data.len()).step_by(picture.channels);
        let mut histogram = vec![0; place(S::MAX) + 1];
        band().for_each(|at| histogram[place(picture.data[at])] += 1);
        if let Some(levels) = levels(&histogram) {
            band().for_each(|at| picture.data[at] = levels[place(picture.data[at])]);
        }
    }
}

/// PIL's `ImageOps.autocontrast`: the darkest level becomes 0, the lightest the highest. `None` where
/// there is one level only.
fn stretched<S: Sample>(histogram: &[usize]) -> Option<Vec<S>> {
    let darkest = histogram.iter().position(|&count| count > 0)?;
    let lightest = histogram.iter().rposition(|&count| count > 0)?;
    let scale = Into::<f64>::into(S::MAX) / (lightest - darkest) as f64;
    let level = |old: usize| S::cut_f64(old as f64 * scale - darkest as f64 * scale);
    (darkest < lightest).then(|| (0..histogram.len()).map(level).collect())
}

/// PIL's `ImageOps.equalize`: levels in proportion to how many pixels are darker. `None` where
/// there are too few pixels besides the lightest.
fn equalized<S: Sample>(histogram: &[usize]) -> Option<Vec<S>> {
    let lightest = histogram.iter().rfind(|&&count| count > 0)?;
    let step = (histogram.iter().sum::<usize>() - lightest) / 255;
    let mut darker = step / 2;
    (step > 0).then(|| {
        let level = |&count: &usize| {
            let level = (darker * S::STEP as usize / step).min(histogram.len() - 1);
            darker += count;
            S::low(level as u32)
        };
        histogram.iter().map(level).collect()
    })
}

/// PIL's `ImageEnhance.Sharpness`: away from (below 1: towards) a smoothed picture.
fn sharpen<S: Sample>(picture: &mut Pixels<S>, factor: f32) {
    let smooth = smoothed(picture);
    for (sample, from) in picture.data.iter_mut().zip(smooth) {
        *sample = blend(from, *sample, factor);
    }
}

/// The samples after PIL's filter `SMOOTH`: a mean of 3 × 3 pixels in which the middle one counts
/// five times. The picture's border stays.
fn smoothed<S: Sample>(picture: &Pixels<S>) -> Vec<S> {
    let (data, channels) = (&picture.data, picture.channels);
    let line = picture.width * channels;
    let mut smooth = data.clone();
    if picture.width < 3 {
        return smooth;
    }
    for y in 1..picture.height.saturating_sub(1) {
        let inner = y * line + channels..(y + 1) * line - channels;
        for (at, to) in inner.clone().zip(&mut smooth[inner]) {
            let level = |at: usize| -> u32 { data[at].into() };
            let three = |at: usize| [at - channels, at, at + channels].map(level);
            let nine = [at - line, at, at + line].map(three);
            let sum = nine.as_flattened().iter().sum::<u32>() + 4 * level(at);
            *to = S::low((sum + 6) / 13);
        }
    }
    smooth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Rng;

    fn changed(start: &Pixels, change: Change, strength: f32, signed: f32) -> Pixels {
        let mut picture = start.clone();
        change.apply(&mut picture, strength, signed);
        picture
    }

    /// A row of single levels, changed.
    fn row(data: &[u8], change: Change, strength: f32) -> Vec<u8> {
        let start = Pixels::new(data.len(), 1, 1, data.to_vec());
        changed(&start, change, strength, strength).data
    }

    /// Random levels of the darker half.
    fn noise(width: usize, height: usize, channels: usize) -> Pixels {
        let mut rng = Rng::new(9, [0; 3]);
        let data = (0..width * height * channels).map(|_| rng.below(128) as u8).collect();
        Pixels::new(width, height, channels, data)
    }

    #[test]
    fn levels_by_hand() {
        let levels = [0, 100, 127, 128, 255];
        assert_eq!(row(&levels, Change::Invert, 1.0), [255, 155, 128, 127, 0]);
        assert_eq!(row(&levels, Change::Posterize, 0.0), [0, 96, 112, 128, 240]);
        assert_eq!(row(&levels, Change::Posterize, 0.6), [0, 64, 64, 128, 192]);
        assert_eq!(row(&levels, Change::Posterize, 1.0), [0; 5]);
        assert_eq!(row(&levels, Change::Solarize, 0.0), levels);
        assert_eq!(row(&levels, Change::Solarize, 0.5), [0, 100, 127, 127, 0]);
        assert_eq!(row(&levels, Change::Solarize, 1.0), [255, 155, 128, 127, 0]);
        assert_eq!(row(&levels, Change::SolarizeAdd, 0.0), levels);
        assert_eq!(row(&levels, Change::SolarizeAdd, 0.5), [55, 155, 182, 128, 255]);
        assert_eq!(row(&levels, Change::SolarizeAdd, 1.0), [110, 210, 237, 128, 255]);
        assert_eq!(row(&levels, Change::Brightness, -1.0), [0, 10, 12, 12, 25]);
        assert_eq!(row(&levels, Change::Brightness, 0.5), [0, 145, 184, 185, 255]);
        // Mean 122: 122 + 0.1·(level − 122).
        assert_eq!(row(&levels, Change::Contrast, -1.0), [109, 119, 122, 122, 135]);
    }

    #[test]
    fn auto_contrast_and_equalize_by_hand() {
        assert_eq!(row(&[50, 100, 149, 150], Change::AutoContrast, 0.0), [0, 127, 252, 255]);
        assert_eq!(row(&[7, 7], Change::AutoContrast, 0.0), [7, 7]);
        // 510 pixels below the lightest: a step of 2, starting at 1.
        let counts = [(10, 101), (20, 10), (30, 399), (40, 90)];
        let levels = |to: [u8; 4]| {
            let runs = to.into_iter().zip(counts);
            runs.flat_map(|(level, (_, count))| vec![level; count]).collect::<Vec<_>>()
        };
        let equal = row(&levels([10, 20, 30, 40]), Change::Equalize, 0.0);
        assert_eq!(equal, levels([0, 51, 56, 255]));
        // A step of 1 would lead beyond 255.
        let uneven = row(&[&[5; 400][..], &[6; 9]].concat(), Change::Equalize, 0.0);
        assert_eq!(uneven, [&[0; 400][..], &[255; 9]].concat());
        assert_eq!(row(&[3; 600], Change::Equalize, 0.0), [3; 600]);
        assert_eq!(row(&[1, 2, 3], Change::Equalize, 0.0), [1, 2, 3]);
        // Each channel on its own.
        let start = Pixels::new(2, 1, 2, vec![10, 5, 20, 6]);
        assert_eq!(changed(&start, Change::AutoContrast, 0.0, 0.0).data, [0, 0, 255, 255]);
    }

    #[test]
    fn sharpness_by_hand() {
        let mut start = Pixels::<u8>::new(3, 3, 1, vec![10; 9]);
        start.data[4] = 145;
        // (8·10 + 5·145) / 13 = 61.9; the border stays.
        assert_eq!(smoothed(&start)[4], 62);
        let sharp = |signed| changed(&start, Change::Sharpness, 1.0, signed).data;
        assert_eq!(sharp(0.5), [10, 10, 10, 10, 182, 10, 10, 10, 10]);
        assert_eq!(sharp(-1.0), [10, 10, 10, 10, 70, 10, 10, 10, 10]);
    }

    #[test]
    fn geometry_by_hand() {
        let across = Pixels::new(21, 21, 1, (0..441).map(|i| (i % 21 * 10) as u8).collect());
        let down = Pixels::new(21, 21, 1, (0..441).map(|i| (i / 21 * 10) as u8).collect());
        let at = |start, change, signed, x, y| changed(start, change, 0.5, signed).at(x, y)[0];
        // Levels are ten times the coordinate that is shown: 3 + 0.3·1.5, 0.45·21, 10 − 5·sin 15°.
        assert_eq!(at(&across, Change::ShearX, 1.0, 3, 1), 34);
        assert_eq!(at(&across, Change::ShearX, -1.0, 3, 1), 25);
        assert_eq!(at(&across, Change::ShearY, 1.0, 3, 1), 30);
        assert_eq!(at(&down, Change::ShearY, 1.0, 1, 3), 34);
        assert_eq!(at(&across, Change::TranslateX, 1.0, 0, 9), 94);
        assert_eq!(at(&across, Change::TranslateX, -1.0, 0, 9), 128);
        assert_eq!(at(&down, Change::TranslateX, 1.0, 0, 9), 90);
        assert_eq!(at(&down, Change::TranslateY, 1.0, 9, 0), 94);
        assert_eq!(at(&across, Change::Rotate, 0.5, 10, 15), 87);
        assert_eq!(at(&across, Change::Rotate, -0.5, 10, 15), 112);
    }

    /// Of 16 bits every change does the same, within the rounding of 8 bits.
    #[test]
    fn sixteen_bits_are_changed_alike() {
        // Many pixels, so that equalising has steps of many.
        let coarse = noise(120, 90, 3);
        let data = coarse.data.iter().map(|&level| u16::from(level) * 257).collect();
        let fine = Pixels::<u16>::new(120, 90, 3, data);
        for (change, signed) in Change::ALL.iter().flat_map(|&c| [(c, 0.6), (c, -0.6)]) {
            let (mut coarse, mut fine) = (coarse.clone(), fine.clone());
            change.apply(&mut coarse, 0.6, signed);
            change.apply(&mut fine, 0.6, signed);
            for (&coarse, &fine) in coarse.data.iter().zip(&fine.data) {
                let difference = f64::from(fine) / 257.0 - f64::from(coarse);
                // Posterize keeps upper bits: 0xC0 becomes 0xC000, which is 191.25 · 257.
                assert!((-0.76..2.0).contains(&difference), "{change:?} {coarse} {fine}");
            }
        }
    }

    #[test]
    fn any_size_and_number_of_channels() {
        use Change::*;
        let one_way = [AutoContrast, Equalize, Invert, Posterize, Solarize, SolarizeAdd];
        for (width, height) in [(1, 1), (1, 50), (50, 1), (2, 2), (31, 20)] {
            for (channels, change) in (1..=4).flat_map(|c| Change::ALL.map(|change| (c, change))) {
                let start = noise(width, height, channels);
                let by = |strength, signed| changed(&start, change, strength, signed);
                let (none, more, less) = (by(0.0, 0.0), by(1.0, 1.0), by(1.0, -1.0));
                let what = format!("{change:?} of {width} × {height} × {channels}");
                assert_eq!(more.data.len(), start.data.len(), "{what}");
                if !one_way[..4].contains(&change) {
                    assert_eq!(none, start, "{what}");
                }
                if width == 31 {
                    let no_colour = change == Saturation && channels != 3;
                    assert_eq!(more == less, one_way.contains(&change) || no_colour, "{what}");
                    assert_eq!(more == start, no_colour, "{what}");
                }
            }
        }
    }
}
