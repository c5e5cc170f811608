//! Affine maps of pictures, with the bilinear interpolation of PIL's `Image.transform`.

use crate::data::pixels::{Pixels, Sample};

/// The level of 8 bits that is seen beyond the picture's edges: timm's grey.
const FILL: u32 = 128;

/// Rows (a, b, c) and (d, e, f): the point (x, y) of the result shows the point
/// (a·x + b·y + c, d·x + e·y + f) of the picture. Pixel (0, 0) has its centre at (½, ½).
pub(super) type Map = [[f64; 3]; 2];

/// The map that turns a picture of `width` × `height` by `degrees` about its centre,
/// anticlockwise.
pub(super) fn rotation(width: f64, height: f64, degrees: f64) -> Map {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x, y) = (width / 2.0, height / 2.0);
    [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]
}

/// Makes `picture` what `map` shows of it, in the same size.
pub(super) fn transform<S: Sample>(picture: &mut Pixels<S>, map: Map) {
    let (width, height, channels) = (picture.width, picture.height, picture.channels);
    let mut shown = vec![S::low(FILL * S::STEP); picture.data.len()];
    for (row, line) in shown.chunks_exact_mut(width * channels).enumerate() {
        for (column, to) in line.chunks_exact_mut(channels).enumerate() {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let [x, y] = map.map(|[a, b, c]| a * x + b * y + c);
            if (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y) {
                let ([left, right], across) = neighbours(x, width);
                let ([above, below], down) = neighbours(y, height);
                let corners = [(left, above), (right, above), (left, below), (right, below)];
                let corners = corners.map(|(x, y)| picture.at(x, y));
                for (channel, to) in to.iter_mut().enumerate() {
                    let [a, b, c, d] = corners.map(|pixel| -> f64 { pixel[channel].into() });
                    let (upper, lower) = (a + (b - a) * across, c + (d - c) * across);
                    *to = S::cut_f64(upper + (lower - upper) * down);
                }
            }
        }
    }
    picture.data = shown;
}

/// The two of `len` pixels whose centres are around `at`, the edge's pixel where there is no
/// other, and how far `at` is from the first to the second.
fn neighbours(at: f64, len: usize) -> ([usize; 2], f64) {
    let first = (at - 0.5).floor();
    ([first.max(0.0) as usize, ((first + 1.0) as usize).min(len - 1)], at - 0.5 - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(start: &Pixels, map: Map) -> Vec<u8> {
        let mut picture = start.clone();
        transform(&mut picture, map);
        picture.data
    }

    #[test]
    fn shifts_interpolate_and_fill() {
        let row = Pixels::new(4, 1, 1, vec![10, 20, 40, 80]);
        let shifted = |by| shown(&row, [[1.0, 0.0, by], [0.0, 1.0, 0.0]]);
        assert_eq!(shifted(0.0), row.data);
        assert_eq!(shifted(1.0), [20, 40, 80, 128]);
        assert_eq!(shifted(-2.0), [128, 128, 10, 20]);
        // Halfway between pixels: the last point is on the edge, which is outside.
        assert_eq!(shifted(0.5), [15, 30, 60, 128]);
        // Between the last centre and the edge there is the last pixel alone.
        assert_eq!(shifted(0.25), [12, 25, 50, 80]);
        assert_eq!(shifted(-0.25), [10, 17, 35, 70]);
    }

    #[test]
    fn both_axes_and_all_channels_interpolate() {
        let square = Pixels::new(2, 2, 2, vec![0, 7, 100, 7, 200, 7, 40, 7]);
        // ¾·(¾·0 + ¼·100) + ¼·(¾·200 + ¼·40) = 58.75, then along the edges.
        let quarter = shown(&square, [[1.0, 0.0, 0.25], [0.0, 1.0, 0.25]]);
        assert_eq!(quarter, [58, 7, 85, 7, 160, 7, 40, 7]);
    }

    #[test]
    fn rotations_turn_anticlockwise_about_the_centre() {
        let square = Pixels::new(3, 3, 1, (1..=9).collect());
        let turned = |degrees| shown(&square, rotation(3.0, 3.0, degrees));
        assert_eq!(turned(0.0), square.data);
        // Levels are cut off, so that a rounding error may cost one.
        let quarter = turned(90.0);
        for (found, expected) in quarter.iter().zip([3, 6, 9, 2, 5, 8, 1, 4, 7]) {
            assert!((expected - 1..=expected).contains(found), "{quarter:?}");
        }
        let black = shown(&Pixels::zeros(5, 5, 1), rotation(5.0, 5.0, 45.0));
        assert_eq!([black[0], black[12]], [128, 0]);
    }
}
