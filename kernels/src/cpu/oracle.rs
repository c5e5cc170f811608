//! What tests compare the twins with: plain f64.

use std::fmt::Debug;

use super::Value;

/// Numbers that look random: a linear congruential generator.
pub struct Rng(pub u32);

impl Rng {
    /// Uniform in -1..1.
    pub fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }

    pub fn values<A: Value>(&mut self, len: usize) -> Vec<A> {
        (0..len).map(|_| A::of(self.number())).collect()
    }
}

/// ‖Δ‖∞ ≤ tolerance · (1 + ‖expected‖∞).
#[track_caller]
pub fn assert_close<A: Value>(values: &[A], expected: &[f64], tolerance: f64, name: &str) {
    assert_eq!(values.len(), expected.len(), "{name}");
    let limit = tolerance * (1.0 + expected.iter().fold(0.0, |limit: f64, x| limit.max(x.abs())));
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        let value = f64::from(value.get());
        assert!((value - expected).abs() <= limit, "{name} [{i}]: {value} instead of {expected}");
    }
}

/// Runs `work` on one, two and five threads.
#[track_caller]
pub fn assert_same_on_any_threads<R: Debug + PartialEq + Send>(work: impl Fn() -> R + Sync) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool of threads").install(&work)
    };
    let one = on(1);
    assert!(one == on(2) && one == on(5));
}

/// Error function, by its series below 3 and its continued fraction above.
pub fn erf(x: f64) -> f64 {
    let t = x.abs();
    let magnitude = if t < 3.0 {
        let mut term = t;
        let mut sum = t;
        for n in 1..200 {
            term *= -t * t / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..60).rev().fold(t, |rest, n| t + f64::from(n) / 2.0 / rest);
        1.0 - (-t * t).exp() / (fraction * std::f64::consts::PI.sqrt())
    };
    magnitude.copysign(x)
}

pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

pub fn gelu_grad(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) + x * density
}
