//! Repeated measurements of one quantity, and what is said of them.

/// Measurements in ascending order, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Sorts `values`.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// All of them, the smallest first.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance between the quartiles.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0
    }

    /// The value below which a share of them lies, between neighbours by linear interpolation.
    fn quantile(&self, share: f64) -> f64 {
        let at = share * (self.0.len() - 1) as f64;
        let (low, high) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let samples = Samples::new(vec![8.0, 1.0, 4.0, 2.0]);
        assert_eq!(samples.values(), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(samples.median(), 3.0);
        assert_eq!(samples.quantile(0.25), 1.75);
        assert_eq!(samples.spread(), (5.0 - 1.75) / 2.0);
        let one = Samples::new(vec![5.0]);
        assert_eq!((one.median(), one.spread()), (5.0, 0.0));
    }
}
