//! What tensors are stored as.

use bytemuck::Pod;
use half::f16;

/// A stored number: f32, or f16 with mixed precision. Twins compute in f32.
pub trait Value: Pod + Send + Sync + 'static {
    /// Whether it is f32.
    const SINGLE: bool;

    /// The number, exactly.
    fn get(self) -> f32;

    /// The nearest value to `x`, the even one of two. What f16 cannot hold becomes infinite.
    fn of(x: f32) -> Self;

    /// Copies as many values as both have.
    #[inline(always)]
    fn widen(from: &[Self], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.get();
        }
    }
}

impl Value for f32 {
    const SINGLE: bool = true;

    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn of(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn widen(from: &[Self], to: &mut [f32]) {
        let len = from.len().min(to.len());
        to[..len].copy_from_slice(&from[..len]);
    }
}

/// Without branches, so that loops over rows become vector instructions on every machine.
impl Value for f16 {
    const SINGLE: bool = false;

    #[inline(always)]
    fn get(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        // The exponent's bias differs by 112; subnormal numbers become normal ones by this product.
        let finite = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
        let special = magnitude | 0x7f80_0000;
        let magnitude = if magnitude >= 0x7c00 << 13 { special } else { finite.to_bits() };
        f32::from_bits(magnitude | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn of(x: f32) -> Self {
        let bits = x.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        // Rounds the 13 bits that go, to even; a carry moves on into the exponent.
        let odd = magnitude >> 13 & 1;
        let normal = magnitude.wrapping_add(0xfff + odd).wrapping_sub(112 << 23) >> 13;
        // Below 2⁻¹⁴ the sum with ½ rounds to multiples of 2⁻²⁴, which are its lowest bits.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
        let half = if magnitude < 113 << 23 { subnormal } else { normal };
        let half = if magnitude >= 0x477f_f000 { 0x7c00 } else { half };
        // A NaN keeps its upper bits and stays quiet.
        let half = if magnitude > 0x7f80_0000 { magnitude >> 13 & 0x3ff | 0x7e00 } else { half };
        Self::from_bits((half | bits >> 16 & 0x8000) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_read_exactly_and_comes_back() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            let read = value.get();
            assert_eq!(
                read.to_bits(),
                value.to_f32().to_bits() & !quiet(bits) | read.to_bits() & quiet(bits)
            );
            assert_eq!(f16::of(read).is_nan(), value.is_nan());
            if !value.is_nan() {
                assert_eq!(f16::of(read).to_bits(), bits);
            }
        }
    }

    /// The bit by which conversions may tell a NaN from a signalling one.
    fn quiet(bits: u16) -> u32 {
        if f16::from_bits(bits).is_nan() { 1 << 22 } else { 0 }
    }

    #[test]
    fn rounding_is_that_of_the_crate_half() {
        let mut word = 1_u32;
        for _ in 0..2_000_000 {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // All bits, and numbers that f16 can hold.
            for x in
                [f32::from_bits(word), (word as i32 as f32) * 1e-5, (word as i32 as f32) * 1e-14]
            {
                let (own, expected) = (f16::of(x), f16::from_f32(x));
                assert!(
                    own.to_bits() == expected.to_bits() || own.is_nan() && expected.is_nan(),
                    "{x}"
                );
            }
        }
        for (x, expected) in [(65519.9, 65504.0), (65520.0, f32::INFINITY), (1e30, f32::INFINITY)] {
            assert_eq!(f16::of(x).get(), expected);
            assert_eq!(f16::of(-x).get(), -expected);
        }
    }
}
