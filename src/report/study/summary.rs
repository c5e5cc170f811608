//! What is known of a measure.

/// The values of a measure, at least one.
pub(super) struct Summary {
    pub values: Vec<f64>,
    pub mean: f64,
}

impl Summary {
    pub fn of(values: Vec<f64>) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (!values.is_empty()).then_some(Self { values, mean })
    }

    /// The standard deviation, its square being unbiased, if there are two values or more.
    pub fn deviation(&self) -> Option<f64> {
        let squares = self.values.iter().map(|value| (value - self.mean).powi(2)).sum::<f64>();
        let others = self.values.len() - 1;
        (others > 0).then(|| (squares / others as f64).sqrt())
    }
}
