//! Functions of the kernels without branches, so that loops over them become vector instructions.

use super::vector::multiply_add;

/// e^x of x ≤ 0, as of every exponent that kernels have: error below 1.5 ulp; 0 below -87, NaN of NaN.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    /// 1.5 · 2²³: a number added to it is rounded to an integer, in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2, in a part of few bits and the rest.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let fma = multiply_add::<FUSED>;
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -LN_2.1, fma(n, -LN_2.0, x));
    let mut p = 1.987_569_1e-4;
    p = fma(p, r, 1.398_2e-3);
    p = fma(p, r, 8.333_452e-3);
    p = fma(p, r, 4.166_579_6e-2);
    p = fma(p, r, 0.166_666_65);
    p = fma(p, r, 0.5);
    p = fma(p, r * r, r) + 1.0;
    // Of the bits of `shifted` the shift leaves n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    // A comparison that NaN fails.
    if x < -87.0 { 0.0 } else { p * power }
}

/// Φ(x), the normal distribution's cumulative function, and e^(−x²/2). Error of Φ below 2.5e-7.
///
/// For t ≥ 0, Φ(−t) = e^(−t²/2)·u·P(u) with u = 1 / (1 + ct): the form of Abramowitz and Stegun, 7.1.26, with one
/// more term and a minimax fit of its own (4e-9). The derivative of GELU has the same power of e.
#[inline(always)]
fn normal<const FUSED: bool>(x: f32) -> (f32, f32) {
    let fma = multiply_add::<FUSED>;
    let power = exp::<FUSED>(-0.5 * x * x);
    let u = 1.0 / fma(x.abs(), 0.275_771_65, 1.0);
    let mut p = -0.113_768_46;
    p = fma(p, u, 0.443_331_75);
    p = fma(p, u, -0.317_699_43);
    p = fma(p, u, 0.324_779_13);
    p = fma(p, u, 0.045_694_436);
    p = fma(p, u, 0.117_662_57);
    let tail = power * (p * u);
    (if x < 0.0 { tail } else { 1.0 - tail }, power)
}

/// GELU in its exact form, x·Φ(x).
#[inline(always)]
pub fn gelu<const FUSED: bool>(x: f32) -> f32 {
    x * normal::<FUSED>(x).0
}

/// Derivative of [`gelu`]: Φ(x) + x·φ(x).
#[inline(always)]
pub fn gelu_grad<const FUSED: bool>(x: f32) -> f32 {
    /// 1 / √(2π)
    const DENSITY: f32 = 0.398_942_3;
    let (cumulative, power) = normal::<FUSED>(x);
    // Where φ has vanished, x may be infinite.
    let slope = if x.abs() > 12.0 { 0.0 } else { x * (DENSITY * power) };
    cumulative + slope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::oracle;

    /// Numbers between two bounds, evenly, and both zeros.
    fn range(from: f32, to: f32) -> impl Iterator<Item = f32> {
        let steps = 400_000;
        (0..=steps).map(move |i| from + (to - from) * (i as f32 / steps as f32)).chain([0.0, -0.0])
    }

    #[test]
    fn exp_is_exact_to_an_ulp_and_a_half() {
        for fused in [false, true] {
            let exp = if fused { exp::<true> } else { exp::<false> };
            for x in range(-87.0, 0.0) {
                let expected = f64::from(x).exp();
                let ulp = f64::from(f32::EPSILON) * 2.0_f64.powf(expected.log2().floor());
                let error = (f64::from(exp(x)) - expected).abs() / ulp;
                assert!(error < 1.5, "exp({x}): {error} ulp");
            }
            assert_eq!(exp(0.0), 1.0);
            assert_eq!([exp(-87.1), exp(-1e9), exp(f32::NEG_INFINITY)], [0.0; 3]);
            assert!(exp(f32::NAN).is_nan() && exp(f32::from_bits(0x7fc0_1234)).is_nan());
        }
    }

    #[test]
    fn gelu_and_its_derivative_are_exact() {
        for x in range(-14.0, 14.0) {
            let wide = f64::from(x);
            let cumulative = 0.5 * (1.0 + oracle::erf(wide / std::f64::consts::SQRT_2));
            for [phi, gelu, grad] in [
                [normal::<true>(x).0, gelu::<true>(x), gelu_grad::<true>(x)],
                [normal::<false>(x).0, gelu::<false>(x), gelu_grad::<false>(x)],
            ] {
                assert!((f64::from(phi) - cumulative).abs() < 2.5e-7, "Φ({x}): {phi}");
                let error = (f64::from(gelu) - oracle::gelu(wide)).abs();
                assert!(error < 1.5e-7 * wide.abs().max(1.0), "gelu({x}): {error}");
                let error = (f64::from(grad) - oracle::gelu_grad(wide)).abs();
                assert!(error < 3e-7, "gelu_grad({x}): {error}");
            }
        }
        assert_eq!([gelu::<true>(50.0), gelu_grad::<true>(1e30)], [50.0, 1.0]);
        assert_eq!([gelu::<true>(-50.0), gelu_grad::<true>(f32::NEG_INFINITY)], [0.0, 0.0]);
        assert!(gelu::<true>(f32::NAN).is_nan() && gelu_grad::<true>(f32::NAN).is_nan());
    }
}
