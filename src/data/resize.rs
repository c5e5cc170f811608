//! PIL's bicubic resize of 8-bit pictures, bit by bit: a = −0.5, widened when shrinking
//! (antialiased), horizontal pass first, rounded to 8 bits after each pass.
//!
//! Faster crates round their weights to 16 bits or take the vertical pass first, and so end up
//! two levels off on noise.

use super::pixels::Pixels;

/// Fraction bits of the weights: 32 − 8 for the samples − 2 for overshoot, as in PIL.
const BITS: u32 = 22;

/// `picture` resized to `width` × `height` (both at least 1), each channel on its own: alpha is a
/// band like the others.
pub fn resize(picture: &Pixels, width: usize, height: usize) -> Pixels {
    let wide = if width == picture.width { None } else { Some(resize_rows(picture, width)) };
    let wide = wide.as_ref().unwrap_or(picture);
    if height == picture.height { wide.clone() } else { resize_columns(wide, height) }
}

/// The size whose shorter side is `side`, as torchvision's `Resize(side)`: the longer one is
/// `int(side · long / short)`. Takes and gives (width, height).
pub fn shorter_side_to(side: usize, (width, height): (usize, usize)) -> (usize, usize) {
    let long = |long: usize, short: usize| (side as u64 * long as u64 / short as u64) as usize;
    if width <= height { (side, long(height, width)) } else { (long(width, height), side) }
}

/// The samples that one result is made of.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
        _ => 0.0,
    }
}

/// The window of each of `to` results along an axis of `from` samples.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let (support, shrink) = (2.0 * stretch, 1.0 / stretch);
    let window = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |x: usize| cubic((x as f64 - center + 0.5) * shrink);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| (weight / sum * f64::from(1 << BITS)).round() as i32;
        Window { first, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

/// Half a level, so that the shift in [`level`] rounds.
const HALF: i32 = 1 << (BITS - 1);

fn level(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

fn resize_rows(picture: &Pixels, width: usize) -> Pixels {
    let windows = windows(picture.width, width);
    let mut result = Pixels::zeros(width, picture.height, picture.channels);
    match picture.channels {
        1 => fill_rows::<1>(picture, &windows, &mut result),
        3 => fill_rows::<3>(picture, &windows, &mut result),
        4 => fill_rows::<4>(picture, &windows, &mut result),
        _ => fill_rows_of_any(picture, &windows, &mut result),
    }
    result
}

fn fill_rows<const C: usize>(picture: &Pixels, windows: &[Window], result: &mut Pixels) {
    let rows = picture.data.chunks_exact(picture.width * C);
    for (to, from) in result.data.chunks_exact_mut(windows.len() * C).zip(rows) {
        let from = from.as_chunks::<C>().0;
        for (to, window) in to.as_chunks_mut::<C>().0.iter_mut().zip(windows) {
            let mut sums = [HALF; C];
            for (pixel, weight) in from[window.first..].iter().zip(&window.weights) {
                for c in 0..C {
                    sums[c] += i32::from(pixel[c]) * weight;
                }
            }
            *to = sums.map(level);
        }
    }
}

fn fill_rows_of_any(picture: &Pixels, windows: &[Window], result: &mut Pixels) {
    let channels = picture.channels;
    let rows = picture.data.chunks_exact(picture.width * channels);
    for (to, from) in result.data.chunks_exact_mut(windows.len() * channels).zip(rows) {
        for (to, window) in to.chunks_exact_mut(channels).zip(windows) {
            for (c, to) in to.iter_mut().enumerate() {
                let samples = from[window.first * channels + c..].iter().step_by(channels);
                let terms = samples.zip(&window.weights).map(|(&s, weight)| i32::from(s) * weight);
                *to = level(HALF + terms.sum::<i32>());
            }
        }
    }
}

fn resize_columns(picture: &Pixels, height: usize) -> Pixels {
    let row_len = picture.width * picture.channels;
    let mut result = Pixels::zeros(picture.width, height, picture.channels);
    let mut sums = vec![0; row_len];
    let windows = windows(picture.height, height);
    for (to, window) in result.data.chunks_exact_mut(row_len).zip(windows) {
        sums.fill(HALF);
        let rows = picture.data.chunks_exact(row_len).skip(window.first);
        for (row, weight) in rows.zip(window.weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &s)| *sum += i32::from(s) * weight);
        }
        to.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = level(sum));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Rng;

    /// One axis in f64: `line` resized to `to` samples, rounded and clamped.
    fn axis(line: &[u8], to: usize) -> Vec<u8> {
        let scale = line.len() as f64 / to as f64;
        let sample = |index: usize| {
            let weight =
                |x: usize| cubic((x as f64 + 0.5 - (index as f64 + 0.5) * scale) / scale.max(1.0));
            let weights = (0..line.len()).map(weight);
            let sum: f64 = weights.clone().zip(line).map(|(w, &s)| w * f64::from(s)).sum();
            (sum / weights.sum::<f64>()).round() as u8
        };
        (0..to).map(sample).collect()
    }

    #[test]
    fn equals_two_rounded_passes_in_f64() {
        let mut rng = Rng::new(5, [0; 3]);
        let (mut levels, mut samples) = (0, 0);
        for trial in 0..60 {
            let mut size = |limit: u32| 1 + rng.below(limit) as usize;
            let (width, height, to_width, to_height) = (size(90), size(90), size(70), size(70));
            let channels = 1 + trial % 5;
            let data = (0..width * height * channels).map(|_| (rng.next_u32() & 255) as u8);
            let picture = Pixels::new(width, height, channels, data.collect());
            let ours = resize(&picture, to_width, to_height);
            for c in 0..channels {
                let value = |x, y| picture.at(x, y)[c];
                let row = |y| axis(&(0..width).map(|x| value(x, y)).collect::<Vec<_>>(), to_width);
                let wide: Vec<Vec<u8>> = (0..height).map(row).collect();
                for x in 0..to_width {
                    let column: Vec<u8> = wide.iter().map(|row| row[x]).collect();
                    let expected = axis(&column, to_height);
                    let got: Vec<u8> = (0..to_height).map(|y| ours.at(x, y)[c]).collect();
                    for (a, b) in got.iter().zip(expected) {
                        assert!(a.abs_diff(b) <= 1, "{width}×{height} → {to_width}×{to_height}");
                        levels += usize::from(a.abs_diff(b));
                    }
                    samples += got.len();
                }
            }
        }
        // Only values halfway between two levels may fall to either side.
        assert!(levels * 2000 < samples, "{levels} of {samples} differ");
    }

    #[test]
    fn extremes_stay_in_range() {
        let edge = Pixels::new(4, 1, 1, vec![0, 0, 255, 255]);
        let bigger = resize(&edge, 16, 3);
        assert_eq!((bigger.at(0, 0)[0], bigger.at(15, 2)[0]), (0, 255));
        assert!(resize(&Pixels::new(300, 200, 3, vec![255; 180_000]), 7, 5).data == [255; 105]);
        assert_eq!(resize(&Pixels::new(1, 1, 1, vec![77]), 3, 2).data, [77; 6]);
    }

    #[test]
    fn sizes_are_those_of_torchvision() {
        assert_eq!(shorter_side_to(64, (100, 80)), (80, 64));
        assert_eq!(shorter_side_to(64, (67, 131)), (64, 125));
        assert_eq!(shorter_side_to(64, (43, 30)), (91, 64));
        assert_eq!(shorter_side_to(7, (5, 5)), (7, 7));
    }
}
