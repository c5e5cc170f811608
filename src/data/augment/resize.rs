//! PIL's bicubic resize of 8-bit pictures, bit by bit: horizontal pass first, rounded to 8 bits after
//! each pass. Pictures of 16 bits are resized by the same passes, rounded to 16.
//!
//! Faster crates round their weights to 16 bits or take the vertical pass first, and so end up
//! two levels off on noise.
//!
//! Both passes are one loop, `blend`: weighted sums of whole lines of samples, which processors compute
//! many at a time. The lines of the vertical pass are the picture's rows; for the horizontal one, some
//! rows at once are turned so that their columns are lines.

#[cfg(feature = "native")]
use multiversion::multiversion;

use super::bicubic::{Axis, BITS, HALF};
use super::rectangle::Rectangle;
use crate::data::pixels::{Pixels, Sample};

/// Rows that are turned at once: enough for long lines, few enough to stay in the nearest cache.
const TURNED_ROWS: usize = 32;

/// `picture` resized to `width` × `height` (both at least 1), each channel on its own: alpha is a
/// band like the others.
pub fn resize<S: Sample>(picture: &Pixels<S>, width: usize, height: usize) -> Pixels<S> {
    let whole = |width, height| Rectangle { left: 0, top: 0, width, height };
    let part = whole(picture.width, picture.height);
    resize_part(picture, part, [width, height], whole(width, height))
}

/// The rectangle `kept` of what `part` of `picture` is when resized to `[width, height]`, computing no
/// more than that. Both lie inside and are not empty.
pub(super) fn resize_part<S: Sample>(
    picture: &Pixels<S>,
    part: Rectangle,
    [width, height]: [usize; 2],
    kept: Rectangle,
) -> Pixels<S> {
    let columns = Axis::new(part.width, width, kept.left..kept.left + kept.width);
    let rows = Axis::new(part.height, height, kept.top..kept.top + kept.height);
    let (across, down) = (columns.reach(), rows.reach());
    let (left, top) = (part.left + across.start, part.top + down.start);
    let wide = if part.width == width {
        picture.crop(left, top, across.len(), down.len())
    } else {
        let needed = Rectangle { left, top, width: across.len(), height: down.len() };
        resize_rows(picture, needed, &columns)
    };
    if part.height == height { wide } else { resize_columns(&wide, &rows) }
}

/// The size whose shorter side is `side`, as torchvision's `Resize(side)`: the longer one is
/// `int(side · long / short)`. Takes and gives (width, height).
pub fn shorter_side_to(side: usize, (width, height): (usize, usize)) -> (usize, usize) {
    let long = |long: usize, short: usize| (side as u64 * long as u64 / short as u64) as usize;
    if width <= height { (side, long(height, width)) } else { (long(width, height), side) }
}

/// The rows of `needed`, whose columns are those that `columns` reaches.
fn resize_rows<S: Sample>(picture: &Pixels<S>, needed: Rectangle, columns: &Axis) -> Pixels<S> {
    let mut result = Pixels::zeros(columns.len(), needed.height, picture.channels);
    // Compiled anew for each usual number, so that pixels are moved without a loop.
    match picture.channels {
        1 => fill_rows(picture, 1, needed, columns, &mut result),
        3 => fill_rows(picture, 3, needed, columns, &mut result),
        4 => fill_rows(picture, 4, needed, columns, &mut result),
        any => fill_rows(picture, any, needed, columns, &mut result),
    }
    result
}

#[inline(always)]
fn fill_rows<S: Sample>(
    picture: &Pixels<S>,
    channels: usize,
    needed: Rectangle,
    columns: &Axis,
    result: &mut Pixels<S>,
) {
    let row_len = columns.len() * channels;
    let (mut turned, mut blended) = (Vec::new(), Vec::new());
    let mut top = needed.top;
    for rows in result.data.chunks_mut(TURNED_ROWS * row_len) {
        let line = rows.len() / row_len * channels;
        turned.resize(needed.width * line, S::default());
        blended.resize(columns.len() * line, S::default());
        for first in (0..line).step_by(channels) {
            let start = (top * picture.width + needed.left) * channels;
            let row = picture.data[start..].chunks_exact(channels);
            for (column, pixel) in turned.chunks_exact_mut(line).zip(row) {
                column[first..first + channels].copy_from_slice(pixel);
            }
            top += 1;
        }
        blend(&turned, line, columns, &mut blended);
        for (row, first) in rows.chunks_exact_mut(row_len).zip((0..).step_by(channels)) {
            let row = row.chunks_exact_mut(channels);
            for (column, pixel) in blended.chunks_exact(line).zip(row) {
                pixel.copy_from_slice(&column[first..first + channels]);
            }
        }
    }
}

/// All columns of `picture`, whose rows are those that `rows` reaches.
fn resize_columns<S: Sample>(picture: &Pixels<S>, rows: &Axis) -> Pixels<S> {
    let mut result = Pixels::zeros(picture.width, rows.len(), picture.channels);
    blend(&picture.data, picture.width * picture.channels, rows, &mut result.data);
    result
}

/// Each line of `to` is the sum of the lines of `from` in its window, weighted and rounded. Lines have
/// `line` samples; the first of `from` is the first that `axis` reaches.
#[cfg_attr(feature = "native", multiversion(targets("x86_64+avx2")))]
fn blend<S: Sample>(from: &[S], line: usize, axis: &Axis, to: &mut [S]) {
    let half = S::Sum::from(HALF);
    let mut sums = vec![half; line];
    let origin = axis.reach().start;
    for ((first, weights), to) in axis.windows().zip(to.chunks_exact_mut(line)) {
        sums.fill(half);
        let mut lines = from[(first - origin) * line..].chunks_exact(line);
        // Two lines at a time, so that sums are loaded and stored half as often.
        let (pairs, last) = weights.as_chunks::<2>();
        for (&[w, v], (a, b)) in
            pairs.iter().zip(std::iter::from_fn(|| lines.next().zip(lines.next())))
        {
            let (w, v) = (S::Sum::from(w), S::Sum::from(v));
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum += S::Sum::from(a) * w + S::Sum::from(b) * v;
            }
        }
        for (&weight, samples) in last.iter().zip(lines) {
            let weight = S::Sum::from(weight);
            for (sum, &sample) in sums.iter_mut().zip(samples) {
                *sum += S::Sum::from(sample) * weight;
            }
        }
        to.iter_mut().zip(&sums).for_each(|(to, &sum)| *to = S::of_sum(sum, BITS));
    }
}

#[cfg(test)]
mod tests {
    use super::super::bicubic::reference;
    use super::*;
    use crate::philox::Rng;

    fn noise(rng: &mut Rng, width: usize, height: usize, channels: usize) -> Pixels {
        let data = (0..width * height * channels).map(|_| (rng.next_u32() & 255) as u8);
        Pixels::new(width, height, channels, data.collect())
    }

    #[test]
    fn equals_two_rounded_passes_in_f64() {
        let mut rng = Rng::new(5, [0; 3]);
        let (mut levels, mut samples) = (0, 0);
        for trial in 0..60 {
            let mut size = |limit: u32| 1 + rng.below(limit) as usize;
            let (width, height, to_width, to_height) = (size(90), size(90), size(70), size(70));
            let channels = 1 + trial % 5;
            let picture = noise(&mut rng, width, height, channels);
            let ours = resize(&picture, to_width, to_height);
            for c in 0..channels {
                let value = |x, y| picture.at(x, y)[c];
                let row =
                    |y| reference(&(0..width).map(|x| value(x, y)).collect::<Vec<_>>(), to_width);
                let wide: Vec<Vec<u8>> = (0..height).map(row).collect();
                for x in 0..to_width {
                    let column: Vec<u8> = wide.iter().map(|row| row[x]).collect();
                    let expected = reference(&column, to_height);
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
    fn a_part_is_read_and_made_in_place() {
        let mut rng = Rng::new(6, [0; 3]);
        for trial in 0..40 {
            let mut within = |limit: usize| {
                let len = 1 + rng.below(limit as u32) as usize;
                (rng.below((limit - len + 1) as u32) as usize, len)
            };
            let mut rectangle = |[width, height]: [usize; 2]| {
                let ((left, width), (top, height)) = (within(width), within(height));
                Rectangle { left, top, width, height }
            };
            let part = rectangle([90, 70]);
            // Some keep an axis as it is.
            let width = if trial % 4 == 0 { part.width } else { 75 };
            let height = if trial % 4 == 1 { part.height } else { 41 };
            let kept = rectangle([width, height]);
            let picture = noise(&mut rng, 90, 70, 1 + trial % 5);
            let crop = |picture: &Pixels, of: Rectangle| {
                picture.crop(of.left, of.top, of.width, of.height)
            };
            let expected = crop(&resize(&crop(&picture, part), width, height), kept);
            let got = resize_part(&picture, part, [width, height], kept);
            assert!(got == expected, "{part:?} to {width}×{height}, {kept:?}");
        }
    }

    /// Of 16 bits the results lie between the levels that 8 bits have.
    #[test]
    fn sixteen_bits_are_the_same_and_finer() {
        let mut rng = Rng::new(8, [0; 3]);
        for (width, height, to_width, to_height) in [(60, 50, 31, 33), (20, 9, 47, 40)] {
            let coarse = noise(&mut rng, width, height, 3);
            let data = coarse.data.iter().map(|&level| u16::from(level) * 257).collect();
            let fine = resize(&Pixels::<u16>::new(width, height, 3, data), to_width, to_height);
            let coarse = resize(&coarse, to_width, to_height);
            for (&fine, &coarse) in fine.data.iter().zip(&coarse.data) {
                // Half a level for each pass, and the overshoot of the second one.
                assert!((f64::from(fine) / 257.0 - f64::from(coarse)).abs() < 1.3);
            }
            assert!(fine.data.iter().any(|level| level % 257 != 0));
        }
        let dark = Pixels::<u16>::new(4, 1, 1, vec![100, 101, 102, 103]);
        // 100.59 and 102.41.
        assert_eq!(resize(&dark, 2, 1).data, [101, 102]);
        let edge = Pixels::<u16>::new(4, 1, 1, vec![0, 0, 65_535, 65_535]);
        let bigger = resize(&edge, 16, 1).data;
        assert_eq!((bigger[0], bigger[15]), (0, 65_535));
    }

    #[test]
    fn extremes_stay_in_range() {
        let edge = Pixels::<u8>::new(4, 1, 1, vec![0, 0, 255, 255]);
        let bigger = resize(&edge, 16, 3);
        assert_eq!((bigger.at(0, 0)[0], bigger.at(15, 2)[0]), (0, 255));
        assert!(
            resize(&Pixels::<u8>::new(300, 200, 3, vec![255; 180_000]), 7, 5).data == [255; 105]
        );
        assert_eq!(resize(&Pixels::<u8>::new(1, 1, 1, vec![77]), 3, 2).data, [77; 6]);
    }

    #[test]
    fn sizes_are_those_of_torchvision() {
        assert_eq!(shorter_side_to(64, (100, 80)), (80, 64));
        assert_eq!(shorter_side_to(64, (67, 131)), (64, 125));
        assert_eq!(shorter_side_to(64, (43, 30)), (91, 64));
        assert_eq!(shorter_side_to(7, (5, 5)), (7, 7));
    }
}
