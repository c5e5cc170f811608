//! A program on a GPU held against the twins, launch by launch.

use half::f16;

use super::Program;
use crate::error::Result;
use crate::kernels::{KernelKey, Precision};

/// What one launch came to on a device and on its twin.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The kernel and its variant.
    pub kernel: KernelKey,
    /// The tensor that is written first, with the part of the model.
    pub computes: String,
    /// Extents of the tensors that it reads → writes.
    pub sizes: String,
    /// The largest difference, over the largest magnitude that the twin has in that tensor; infinite where one is not
    /// finite and the other is, or where whole numbers differ.
    pub error: f64,
    /// Whether a value is kept in f16, and so rounded once more.
    pub rounded: bool,
}

impl Program {
    /// Runs the launches one after the other, each on both programs and on what this one has left in memory so far:
    /// errors do not add up. `twin` is built from the same recording.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if a device failed.
    ///
    /// # Panics
    /// If `twin` is another recording's.
    pub async fn compare_with(&self, twin: &Program) -> Result<Vec<Comparison>> {
        assert_eq!(self.steps.len(), twin.steps.len(), "programs of one recording");
        let mut comparisons = Vec::with_capacity(self.steps.len());
        for (i, (step, other)) in self.steps.iter().zip(&twin.steps).enumerate() {
            assert_eq!(step.kernel.shader, other.kernel.shader, "programs of one recording");
            if i == 0 {
                // What is cleared is cleared on either side.
                self.run(0..0, true);
            }
            for (from, to) in step.bound.iter().zip(&other.bound) {
                let bytes = from.read(&self.device).await?;
                twin.device.write(&to.buffer, to.first, &bytes);
            }
            self.run(i..i + 1, false);
            twin.run(i..i + 1, false);
            let (mut error, mut rounded) = (0.0_f64, false);
            for (bound, other) in step.bound.iter().zip(&other.bound).filter(|(b, _)| b.writes) {
                let found = bound.read(&self.device).await?;
                let wanted = other.read(&twin.device).await?;
                error = error.max(difference(&found, &wanted, bound.precision));
                rounded |= bound.precision == Some(Precision::F16);
            }
            let computes = step.bound.iter().find(|bound| bound.writes);
            comparisons.push(Comparison {
                kernel: step.kernel.clone(),
                computes: computes.map_or_else(String::new, |bound| bound.label.clone()),
                sizes: step.work.sizes.clone(),
                error,
                rounded,
            });
        }
        Ok(comparisons)
    }
}

/// The largest difference of `found` from `wanted`, over the largest magnitude there.
fn difference(found: &[u8], wanted: &[u8], precision: Option<Precision>) -> f64 {
    match precision {
        Some(Precision::F16) => relative(&halves(found), &halves(wanted)),
        Some(Precision::F32) => relative(&singles(found), &singles(wanted)),
        None => words(found).zip(words(wanted)).fold(0.0, |worst: f64, pair| {
            let singles = (f32::from_bits(pair.0), f32::from_bits(pair.1));
            worst.max(difference_of_words(pair, singles))
        }),
    }
}

/// Of a structure's words it is not known which are numbers of what kind: equal bits, or nearly equal numbers.
fn difference_of_words((found, wanted): (u32, u32), (a, b): (f32, f32)) -> f64 {
    if found == wanted {
        return 0.0;
    }
    let (a, b) = (f64::from(a), f64::from(b));
    let difference = (a - b).abs() / b.abs();
    // Small whole numbers look like numbers next to zero.
    if difference.is_finite() && b.abs() > f64::from(f32::MIN_POSITIVE) {
        difference
    } else {
        f64::INFINITY
    }
}

fn relative(found: &[f32], wanted: &[f32]) -> f64 {
    let largest = wanted.iter().filter(|x| x.is_finite()).fold(0.0_f32, |max, x| max.max(x.abs()));
    let largest = f64::from(largest.max(f32::MIN_POSITIVE));
    let each = found.iter().zip(wanted).map(|(&a, &b)| match (a.is_finite(), b.is_finite()) {
        (true, true) => (f64::from(a) - f64::from(b)).abs() / largest,
        (false, false) => 0.0,
        _ => f64::INFINITY,
    });
    each.fold(0.0, f64::max)
}

fn singles(bytes: &[u8]) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(bytes)
}

fn halves(bytes: &[u8]) -> Vec<f32> {
    bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f32::from).collect()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_seen() {
        let bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
        let of = |a: &[f32], b: &[f32]| difference(&bytes(a), &bytes(b), Some(Precision::F32));
        assert_eq!(of(&[1.0, -4.0], &[1.0, -4.0]), 0.0);
        assert_eq!(of(&[1.5, -4.0], &[1.0, -4.0]), 0.125);
        assert_eq!(of(&[f32::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(of(&[1.0], &[f32::INFINITY]), f64::INFINITY);
        let words = |a: u32, b: u32| difference(&a.to_ne_bytes(), &b.to_ne_bytes(), None);
        assert_eq!(words(7, 7), 0.0);
        assert_eq!(words(7, 8), f64::INFINITY);
        assert!(words(1.0_f32.to_bits(), 1.000_001_f32.to_bits()) < 1e-5);
    }
}
