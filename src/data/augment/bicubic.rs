//! The weights of PIL's bicubic filter: a = −0.5, widened when shrinking (antialiased), in fixed point.

use std::ops::Range;

/// Fraction bits of the weights: 32 − 8 for the samples − 2 for overshoot, as in PIL.
pub(super) const BITS: u32 = 22;

/// What a weighted sum of samples begins with: half a level, so that cutting off rounds.
pub(super) const HALF: i32 = 1 << (BITS - 1);

/// How the results along one axis are made of its samples.
pub(super) struct Axis {
    /// Of each result, the first sample and the number of samples.
    windows: Vec<(usize, usize)>,
    /// The weights of all windows, one after the other.
    weights: Vec<i32>,
}

impl Axis {
    /// The results `kept` (at least one) of an axis of `from` samples resized to `to`.
    pub fn new(from: usize, to: usize, kept: Range<usize>) -> Self {
        if from == to {
            let windows: Vec<_> = kept.map(|index| (index, 1)).collect();
            return Self { weights: vec![1 << BITS; windows.len()], windows };
        }
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let (support, shrink) = (2.0 * stretch, 1.0 / stretch);
        let (mut windows, mut weights) = (Vec::with_capacity(kept.len()), Vec::new());
        let mut exact: Vec<f64> = Vec::new();
        for index in kept {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            exact.clear();
            exact.extend((first..end).map(|x| cubic((x as f64 - center + 0.5) * shrink)));
            let sum: f64 = exact.iter().sum();
            weights.extend(exact.iter().map(|weight| fixed_point(weight / sum)));
            windows.push((first, end - first));
        }
        Self { windows, weights }
    }

    /// Number of results.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// The samples that the results are made of.
    pub fn reach(&self) -> Range<usize> {
        let (first, _) = self.windows[0];
        let (last, count) = self.windows[self.windows.len() - 1];
        first..last + count
    }

    /// Of each result, the first sample and the weights from there on.
    #[inline(always)]
    pub fn windows(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let mut rest = &self.weights[..];
        self.windows.iter().map(move |&(first, count)| {
            let (weights, after) = rest.split_at(count);
            rest = after;
            (first, weights)
        })
    }
}

fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
        _ => 0.0,
    }
}

/// Rounded as PIL rounds; `round` would be a call on processors without the instruction.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << BITS);
    (scaled + 0.5f64.copysign(scaled)) as i32
}

/// One axis of `line` in f64, rounded and clamped: what [`Axis`] does in fixed point.
#[cfg(test)]
pub(super) fn reference(line: &[u8], to: usize) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one() {
        for (from, to) in [(1, 7), (7, 1), (90, 224), (224, 90), (500, 224), (64, 64)] {
            let axis = Axis::new(from, to, 0..to);
            assert_eq!((axis.len(), axis.reach()), (to, 0..from), "{from} to {to}");
            for (first, weights) in axis.windows() {
                assert!(first + weights.len() <= from);
                let off = weights.iter().sum::<i32>() - (1 << BITS);
                // Each weight is rounded on its own.
                assert!(off.unsigned_abs() as usize <= weights.len(), "{from} to {to}: {off}");
            }
        }
    }

    #[test]
    fn a_part_of_an_axis_is_that_part_of_the_whole() {
        let (whole, part) = (Axis::new(50, 80, 0..80), Axis::new(50, 80, 30..47));
        let expected: Vec<_> = whole.windows().skip(30).take(17).collect();
        assert_eq!(part.windows().collect::<Vec<_>>(), expected);
        assert!(part.reach().start > 10 && part.reach().end < 40, "{:?}", part.reach());
    }
}
