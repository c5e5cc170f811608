//! How often a classifier was right, and how certain that is.

use std::fmt;

/// Below so many pictures an accuracy is told with its uncertainty.
const FEW: usize = 100;

/// The normal distribution's two-sided 95 %.
const Z: f64 = 1.959_964;

/// A share of pictures that were classified correctly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Of all pictures, from 0 to 1.
    pub share: f64,
    /// Number of pictures.
    pub pictures: usize,
}

impl Accuracy {
    /// Where the share over endless pictures of the same kind lies with 95 % confidence, from and to (Wilson 1927).
    pub fn interval(self) -> [f64; 2] {
        let (share, count) = (self.share, self.pictures.max(1) as f64);
        let shrink = 1.0 + Z * Z / count;
        let center = (share + Z * Z / (2.0 * count)) / shrink;
        let half =
            Z / shrink * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        [(center - half).max(0.0), (center + half).min(1.0)]
    }
}

/// In percent; of few pictures with the interval.
impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", 100.0 * self.share)?;
        if self.pictures < FEW {
            let [from, to] = self.interval().map(|share| 100.0 * share);
            let pictures = self.pictures;
            write!(
                f,
                " ({from:.0} to {to:.0} % with 95 % confidence: {pictures} pictures are few)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        let of = |share, pictures| Accuracy { share, pictures }.interval();
        let near =
            |[a, b]: [f64; 2], [c, d]: [f64; 2]| (a - c).abs() < 1e-3 && (b - d).abs() < 1e-3;
        assert!(near(of(0.5, 10), [0.237, 0.763]), "{:?}", of(0.5, 10));
        assert!(near(of(1.0, 10), [0.722, 1.0]), "{:?}", of(1.0, 10));
        assert!(near(of(0.0, 20), [0.0, 0.161]), "{:?}", of(0.0, 20));
        assert!(near(of(0.9, 1000), [0.880, 0.917]), "{:?}", of(0.9, 1000));
    }

    #[test]
    fn few_pictures_are_told() {
        let said = |pictures| Accuracy { share: 0.75, pictures }.to_string();
        assert_eq!(said(4), "75.00 % (30 to 95 % with 95 % confidence: 4 pictures are few)");
        assert_eq!(said(100), "75.00 %");
    }
}
