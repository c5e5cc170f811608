//! Functions of the kernels without branches, so that loops over them become vector instructions.

use super::vector::multiply_add;

/// e^x: error below 1.5 ulp where that is a normal number; 0 from -104 down, infinite from 89 up, NaN of NaN.
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    /// 1.5 · 2²³: a number added to it is rounded to an integer, in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2, in a part of few bits and the rest.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let fma = multiply_add::<FUSED>;
    // Comparisons that NaN fails.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
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
    // 2ⁿ in two factors: the exponent of one number does not reach from the subnormal ones to infinity.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    p * power(n >> 1) * power(n.wrapping_sub(n >> 1))
}

/// Error function, |error| < 1.3e-7 everywhere, exactly ±1 from |x| = 3.92 on; the shaders' polynomials.
/// Below 1: x·P(x²); from 1 to 4: a polynomial centred on 2.5 (both minimax fits).
#[inline(always)]
#[expect(clippy::approx_constant, reason = "a coefficient of the fit")]
pub fn erf<const FUSED: bool>(x: f32) -> f32 {
    let fma = multiply_add::<FUSED>;
    let t = x.abs();
    let t2 = t * t;
    let mut near = -0.000_563_145_8;
    near = fma(near, t2, 0.004_917_561_4);
    near = fma(near, t2, -0.026_711_322);
    near = fma(near, t2, 0.112_801_81);
    near = fma(near, t2, -0.376_123_25);
    near = fma(near, t2, 1.128_379_1);
    let u = ((if t > 4.0 { 4.0 } else { t }) - 2.5) * 0.666_666_7;
    let mut far = -0.001_115_268_1;
    far = fma(far, u, 0.001_842_330_8);
    far = fma(far, u, 0.003_385_722_6);
    far = fma(far, u, -0.010_773_904);
    far = fma(far, u, 0.007_524_43);
    far = fma(far, u, 0.009_788_787);
    far = fma(far, u, -0.032_182_943);
    far = fma(far, u, 0.046_330_88);
    far = fma(far, u, -0.043_598_464);
    far = fma(far, u, 0.028_194_427);
    far = fma(far, u, -0.012_256_171);
    far = fma(far, u, 0.003_267_031_6);
    far = fma(far, u, 0.999_593_1);
    let magnitude = if t < 1.0 { t * near } else { far };
    let magnitude = if t >= 3.92 { 1.0 } else { magnitude };
    magnitude.copysign(x)
}

/// GELU in its exact form, x·Φ(x).
#[inline(always)]
pub fn gelu<const FUSED: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Derivative of [`gelu`]: Φ(x) + x·φ(x).
#[inline(always)]
pub fn gelu_grad<const FUSED: bool>(x: f32) -> f32 {
    /// 1 / √(2π)
    const DENSITY: f32 = 0.398_942_3;
    let slope = x * (DENSITY * exp::<FUSED>(-0.5 * x * x));
    // Where φ has vanished, x may be infinite.
    let slope = if x.abs() > 12.0 { 0.0 } else { slope };
    0.5 * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2)) + slope
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
            for x in range(-87.3, 88.7) {
                let expected = f64::from(x).exp();
                let ulp = f64::from(f32::EPSILON) * 2.0_f64.powf(expected.log2().floor());
                let error = (f64::from(exp(x)) - expected).abs() / ulp;
                assert!(error < 1.5, "exp({x}): {error} ulp");
            }
            for x in range(-104.0, -87.3) {
                assert!((f64::from(exp(x)) - f64::from(x).exp()).abs() < 1e-44, "exp({x})");
            }
            assert_eq!(exp(0.0), 1.0);
            assert_eq!([exp(-104.0), exp(-1e9), exp(f32::NEG_INFINITY)], [0.0; 3]);
            assert_eq!([exp(89.0), exp(1e9), exp(f32::INFINITY)], [f32::INFINITY; 3]);
            assert!(exp(f32::NAN).is_nan());
        }
    }

    #[test]
    fn erf_and_gelu_are_exact() {
        for x in range(-12.5, 12.5) {
            let wide = f64::from(x);
            assert!((f64::from(erf::<true>(x)) - oracle::erf(wide)).abs() < 1.3e-7, "erf({x})");
            assert!((f64::from(erf::<false>(x)) - oracle::erf(wide)).abs() < 1.6e-7, "erf({x})");
            let error = (f64::from(gelu::<true>(x)) - oracle::gelu(wide)).abs();
            assert!(error < 2e-7 * wide.abs().max(1.0), "gelu({x}): {error}");
            let error = (f64::from(gelu_grad::<true>(x)) - oracle::gelu_grad(wide)).abs();
            assert!(error < 3e-7, "gelu_grad({x}): {error}");
        }
        assert_eq!([erf::<true>(4.0), erf::<true>(-4.0)], [1.0, -1.0]);
        assert_eq!([gelu::<true>(50.0), gelu_grad::<true>(1e30)], [50.0, 1.0]);
        assert_eq!([gelu::<true>(-50.0), gelu_grad::<true>(f32::NEG_INFINITY)], [0.0, 0.0]);
        assert!(gelu::<true>(f32::NAN).is_nan() && gelu_grad::<true>(f32::NAN).is_nan());
    }
}
