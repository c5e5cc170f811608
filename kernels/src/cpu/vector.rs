//! Loops that become vector instructions: of the best instruction set which the machine has.
//!
//! Functions inside [`vectorised!`] are compiled for several instruction sets, of which the machine's best is
//! chosen at run time. What they call has to be `#[inline(always)]` to be compiled with them.

use super::Value;

/// Compiles a function once for every instruction set that is worth it.
macro_rules! vectorised {
    ($function:item) => {
        #[multiversion::multiversion(targets(
            "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl",
            "x86_64+avx2+fma"
        ))]
        $function
    };
}

/// Calls a function inside [`vectorised!`] with the tile that fills the instruction set's registers: its rows, its
/// columns, and whether a multiplication and an addition are one instruction; then with its own types.
macro_rules! in_tiles {
    ($function:ident::<$($own:ident),*>($($argument:expr),* $(,)?)) => {
        multiversion::target::match_target! {
            "x86_64+avx512f" => $function::<12, 32, true, $($own),*>($($argument),*),
            "x86_64+avx2+fma" => $function::<6, 16, true, $($own),*>($($argument),*),
            "aarch64+neon" => $function::<6, 16, true, $($own),*>($($argument),*),
            _ => $function::<4, 8, false, $($own),*>($($argument),*),
        }
    };
}

/// Partial sums that a row is added up in.
const LANES: usize = 32;

/// `a · b + c`: rounded once where `FUSED`, which has to be only where that is one instruction.
#[inline(always)]
pub fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Adds up lanes in a fixed order.
#[inline(always)]
pub fn fold<const N: usize>(mut lanes: [f32; N], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = combine(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Σ term(x).
#[inline(always)]
pub fn sum<A: Value>(x: &[A], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += term(x.get());
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += term(x.get());
    }
    fold(sums, |a, b| a + b)
}

/// Σ term(x, y) over two rows of one length.
#[inline(always)]
pub fn sum2<A: Value, B: Value>(x: &[A], y: &[B], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += term(x.get(), y.get());
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += term(x.get(), y.get());
    }
    fold(sums, |a, b| a + b)
}

/// The largest of `x` and `least`; NaN does not count.
#[inline(always)]
pub fn max<A: Value>(x: &[A], least: f32) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut largest = [least; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, x) in largest.iter_mut().zip(chunk) {
            *largest = larger(*largest, x.get());
        }
    }
    for (largest, x) in largest.iter_mut().zip(rest) {
        *largest = larger(*largest, x.get());
    }
    fold(largest, larger)
}

/// Two sums at once over three rows of one length: Σ term(x, y, z).
#[inline(always)]
pub fn two_sums<A: Value, B: Value>(
    x: &[A],
    y: &[A],
    z: &[B],
    term: impl Fn(f32, f32, f32) -> [f32; 2],
) -> [f32; 2] {
    let mut sums = [[0.0; LANES]; 2];
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let (z, z_rest) = z.as_chunks::<LANES>();
    let mut add = |lane: usize, x: A, y: A, z: B| {
        let [first, second] = term(x.get(), y.get(), z.get());
        sums[0][lane] += first;
        sums[1][lane] += second;
    };
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        for lane in 0..LANES {
            add(lane, x[lane], y[lane], z[lane]);
        }
    }
    for (lane, ((&x, &y), &z)) in x_rest.iter().zip(y_rest).zip(z_rest).enumerate() {
        add(lane, x, y, z);
    }
    sums.map(|sums| fold(sums, |a, b| a + b))
}
