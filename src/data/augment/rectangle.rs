//! A rectangle of pixels: where crops, erased parts and pasted parts lie.

#[cfg(feature = "labels")]
use std::ops::Range;

use crate::philox::Rng;

/// `height` rows of `width` pixels from the pixel at column `left`, row `top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Rectangle {
    /// One try at a rectangle inside `[height, width]` pixels, at a uniformly random place: its
    /// share of the area is uniform in `area`, its width over height log-uniform in `ratio`.
    /// `None` if that does not fit in, or rounds to nothing.
    pub fn draw(size: [usize; 2], area: [f64; 2], ratio: [f64; 2], rng: &mut Rng) -> Option<Self> {
        let [full_height, full_width] = size;
        let mut uniform = |[low, high]: [f64; 2]| low + (high - low) * f64::from(rng.uniform());
        let target = full_width as f64 * full_height as f64 * uniform(area);
        let aspect = uniform(ratio.map(f64::ln)).exp();
        let width = (target * aspect).sqrt().round_ties_even() as usize;
        let height = (target / aspect).sqrt().round_ties_even() as usize;
        let fits = (1..=full_width).contains(&width) && (1..=full_height).contains(&height);
        fits.then(|| {
            let top = rng.below((full_height - height + 1) as u32) as usize;
            let left = rng.below((full_width - width + 1) as u32) as usize;
            Self { left, top, width, height }
        })
    }

    /// The ranges of samples that the rectangle covers in an image of `[channels, height, width]`
    /// planes, row by row.
    #[cfg(feature = "labels")]
    pub fn rows(self, [channels, height, width]: [usize; 3]) -> impl Iterator<Item = Range<usize>> {
        let rows = move |channel| (0..self.height).map(move |y| channel * height + self.top + y);
        (0..channels).flat_map(rows).map(move |row| {
            let start = row * width + self.left;
            start..start + self.width
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_channel() {
        let rectangle = Rectangle { left: 1, top: 1, width: 2, height: 2 };
        let rows: Vec<_> = rectangle.rows([2, 3, 4]).collect();
        assert_eq!(rows, [5..7, 9..11, 17..19, 21..23]);
    }

    #[test]
    fn every_place_is_as_likely() {
        let mut rng = Rng::new(1, [0; 3]);
        let mut counts = [[0; 3]; 5];
        for _ in 0..3000 {
            let part = Rectangle::draw([8, 6], [1.0 / 3.0; 2], [1.0; 2], &mut rng).unwrap();
            assert_eq!((part.width, part.height), (4, 4));
            counts[part.top][part.left] += 1;
        }
        assert!(counts.as_flattened().iter().all(|c| (140..260).contains(c)), "{counts:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut rng = Rng::new(0, [0; 3]);
        let mut draw =
            |size, area: f64, ratio: f64| Rectangle::draw(size, [area; 2], [ratio; 2], &mut rng);
        let whole = Rectangle { left: 0, top: 0, width: 8, height: 2 };
        assert_eq!(draw([2, 8], 1.0, 4.0), Some(whole));
        assert_eq!(draw([8, 2], 1.0, 4.0), None);
        assert_eq!(draw([8, 8], 0.001, 1.0), None);
    }
}
