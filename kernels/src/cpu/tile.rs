//! The inner loop of every product of matrices: a tile of the result that stays in registers.
//!
//! A tile has `MR` rows and `NR` columns. Its right operand is packed: panels of `NR` columns, each `[K, NR]`,
//! so that a step along K reads one contiguous row of it. Its left operand is `MR` rows as they lie, or
//! packed likewise, `[K, MR]`, or as many columns of a matrix as it lies.

#[cfg(target_arch = "wasm32")]
use std::arch::wasm32::v128;
use std::ops::Range;

use super::Value;
#[cfg(not(target_arch = "wasm32"))]
use super::vector::multiply_add;

/// Values of a tile, by rows.
pub type Tile<const MR: usize, const NR: usize> = [[f32; NR]; MR];

/// Where a tile's left operand is.
#[derive(Clone, Copy)]
pub enum Left<'a, const MR: usize> {
    /// Each of the tile's rows.
    Rows([&'a [f32]; MR]),
    /// `[K, MR]`
    Packed(&'a [[f32; MR]]),
    /// The first `MR` columns of rows that begin `stride` apart, `[K, stride]`.
    Columns {
        /// From the first of them on.
        values: &'a [f32],
        /// From one row to the next.
        stride: usize,
    },
}

/// `left · right`.
///
/// # Panics
/// If the left operand is shorter along K than the right one.
#[inline(always)]
pub fn multiply<const MR: usize, const NR: usize, const FUSED: bool>(
    left: Left<'_, MR>,
    right: &[[f32; NR]],
) -> Tile<MR, NR> {
    let mut tile = [[0.0; NR]; MR];
    match left {
        Left::Rows(rows) => {
            assert!(rows.iter().all(|row| row.len() >= right.len()), "rows as long as the panel");
            for (k, b) in right.iter().enumerate() {
                fetch_ahead(b);
                // SAFETY: `k` is below the length of every row by the assertion. (Checks in this loop keep
                // compilers from vector instructions.)
                step::<MR, NR, FUSED>(&mut tile, |i| unsafe { *rows[i].get_unchecked(k) }, b);
            }
        }
        Left::Packed(columns) => {
            assert!(columns.len() >= right.len(), "columns for the whole panel");
            for (a, b) in columns.iter().zip(right) {
                fetch_ahead(b);
                step::<MR, NR, FUSED>(&mut tile, |i| a[i], b);
            }
        }
        Left::Columns { values, stride } => {
            let last = right.len().saturating_sub(1) * stride;
            assert!(values.len() >= last + MR, "columns for the whole panel");
            for (k, b) in right.iter().enumerate() {
                fetch_ahead(b);
                // SAFETY: below the length by the assertion, as above.
                step::<MR, NR, FUSED>(
                    &mut tile,
                    |i| unsafe { *values.get_unchecked(k * stride + i) },
                    b,
                );
            }
        }
    }
    tile
}

/// Has what lies some steps behind `b` brought to the nearest cache: a panel is read from the second one.
#[inline(always)]
fn fetch_ahead<const NR: usize>(b: &[f32; NR]) {
    /// Steps that a load from the second cache takes.
    const STEPS: usize = 8;
    #[cfg(target_arch = "x86_64")]
    for line in (0..NR).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(b.as_ptr().wrapping_add(STEPS * NR + line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (b, STEPS);
}

/// `tile += a · b` of one step along K.
#[inline(always)]
fn step<const MR: usize, const NR: usize, const FUSED: bool>(
    tile: &mut Tile<MR, NR>,
    a: impl Fn(usize) -> f32,
    b: &[f32; NR],
) {
    // Written out: only then is it sure that compilers keep the tile in registers.
    macro_rules! rows {
        ($($i:literal)*) => {
            const { assert!(MR <= [$($i),*].len()) };
            $(if $i < MR {
                add_row::<NR, FUSED>(&mut tile[$i], a($i), b);
            })*
        };
    }
    rows!(0 1 2 3 4 5 6 7 8 9 10 11);
}

#[cfg(not(target_arch = "wasm32"))]
#[inline(always)]
fn add_row<const NR: usize, const FUSED: bool>(sums: &mut [f32; NR], a: f32, b: &[f32; NR]) {
    for (sum, &b) in sums.iter_mut().zip(b) {
        *sum = multiply_add::<FUSED>(a, b, *sum);
    }
}

/// As elsewhere; but compilers make no relaxed multiply-adds of plain numbers.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn add_row<const NR: usize, const FUSED: bool>(sums: &mut [f32; NR], a: f32, b: &[f32; NR]) {
    use std::arch::wasm32::{f32x4_splat, v128_load, v128_store};
    for (sum, b) in sums.as_chunks_mut::<4>().0.iter_mut().zip(b.as_chunks::<4>().0) {
        // SAFETY: all are four numbers.
        unsafe {
            let (b, c) = (v128_load(b.as_ptr().cast()), v128_load(sum.as_ptr().cast()));
            v128_store(sum.as_mut_ptr().cast(), multiply_add_four(f32x4_splat(a), b, c));
        }
    }
}

/// `a · b + c`, rounded once or twice as the machine likes.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn multiply_add_four(a: v128, b: v128, c: v128) -> v128 {
    use std::arch::wasm32 as simd;
    #[cfg(target_feature = "relaxed-simd")]
    return simd::f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    simd::f32x4_add(simd::f32x4_mul(a, b), c)
}

/// `to += tile`.
#[inline(always)]
pub fn add<const MR: usize, const NR: usize>(to: &mut Tile<MR, NR>, tile: &Tile<MR, NR>) {
    for (to, values) in to.iter_mut().zip(tile) {
        for (to, value) in to.iter_mut().zip(values) {
            *to += value;
        }
    }
}

/// Values that are loaded or stored together where a row does not fill a tile: a vector of many machines.
const PART: usize = 8;

/// The values of `from`, at most `NR`, zero behind them.
#[inline(always)]
pub fn load<const NR: usize, A: Value>(from: &[A]) -> [f32; NR] {
    let mut values = [0.0; NR];
    // As these lengths are constants, loops over them are unrolled.
    if let Some(from) = from.first_chunk::<NR>() {
        A::widen(from, &mut values);
        return values;
    }
    let (parts, rest) = from.as_chunks::<PART>();
    for (to, from) in values.chunks_exact_mut(PART).zip(parts) {
        A::widen(from, to);
    }
    for (to, from) in values[parts.len() * PART..].iter_mut().zip(rest) {
        *to = from.get();
    }
    values
}

/// Stores as many values as `to` has.
#[inline(always)]
pub fn store<const NR: usize, A: Value>(values: &[f32; NR], to: &mut [A]) {
    if let Some(to) = to.first_chunk_mut::<NR>() {
        for (to, &value) in to.iter_mut().zip(values) {
            *to = A::of(value);
        }
        return;
    }
    let (parts, rest) = to.as_chunks_mut::<PART>();
    let stored = parts.len() * PART;
    for (to, from) in parts.iter_mut().zip(values.as_chunks::<PART>().0) {
        for (to, &value) in to.iter_mut().zip(from) {
            *to = A::of(value);
        }
    }
    for (to, &value) in rest.iter_mut().zip(&values[stored..]) {
        *to = A::of(value);
    }
}

/// Packs columns from `first` on of a matrix with `columns` of them into panels, each `[steps, WIDTH]`; columns
/// past the end are zero.
#[inline(always)]
pub fn pack_columns<const WIDTH: usize, A: Value>(
    matrix: &[A],
    stride: usize,
    range: Range<usize>,
    steps: usize,
    panels: &mut [[f32; WIDTH]],
) {
    /// Steps of a panel that are packed together: rows of the matrix are read almost as they lie, and few panels
    /// written at a time, which are a power of two apart.
    const STEP: usize = 16;
    let width = range.len();
    for first in (0..steps).step_by(STEP) {
        for (column, panel) in (0..width).step_by(WIDTH).zip(panels.chunks_mut(steps)) {
            let columns = range.start + column..range.start + width.min(column + WIDTH);
            for (k, to) in (first..).zip(panel[first..].iter_mut().take(STEP)) {
                let from = &matrix[k * stride..][columns.clone()];
                if let Some(from) = from.first_chunk::<WIDTH>() {
                    A::widen(from, to);
                } else {
                    *to = load(from);
                }
            }
        }
    }
}

/// Packs rows `first..` of a matrix whose rows are `stride` apart into a panel, of which they become the
/// columns; those past `end` are zero.
#[inline(always)]
pub fn pack_rows<const WIDTH: usize, A: Value>(
    matrix: &[A],
    stride: usize,
    first: usize,
    end: usize,
    panel: &mut [[f32; WIDTH]],
) {
    let rows = WIDTH.min(end.saturating_sub(first));
    if rows < WIDTH {
        panel.fill([0.0; WIDTH]);
    }
    let len = panel.len();
    let row = |i: usize| &matrix[(first + i) * stride..][..len];
    let squared = rows / SQUARE * SQUARE;
    let whole = len / SQUARE * SQUARE;
    for at in (0..squared).step_by(SQUARE) {
        let from = [row(at), row(at + 1), row(at + 2), row(at + 3)];
        for k in (0..whole).step_by(SQUARE) {
            let mut square = [[0.0; SQUARE]; SQUARE];
            for (to, from) in square.iter_mut().zip(from) {
                A::widen(&from[k..k + SQUARE], to);
            }
            let square = transpose(square);
            for (to, from) in panel[k..k + SQUARE].iter_mut().zip(&square) {
                to[at..at + SQUARE].copy_from_slice(from);
            }
        }
        for k in whole..len {
            for (to, from) in panel[k][at..at + SQUARE].iter_mut().zip(from) {
                *to = from[k].get();
            }
        }
    }
    for i in squared..rows {
        for (to, from) in panel.iter_mut().zip(row(i)) {
            to[i] = from.get();
        }
    }
}

/// Rows and columns that [`pack_rows`] transposes together.
const SQUARE: usize = 4;

/// Compilers find these shuffles only if they are told.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose(square: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
    let mut transposed = [[0.0; SQUARE]; SQUARE];
    // SAFETY: all are four numbers, and every x86-64 has SSE.
    unsafe {
        let [mut a, mut b, mut c, mut d] = square.map(|row| _mm_loadu_ps(row.as_ptr()));
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        for (to, row) in transposed.iter_mut().zip([a, b, c, d]) {
            _mm_storeu_ps(to.as_mut_ptr(), row);
        }
    }
    transposed
}

/// As elsewhere.
#[cfg(target_arch = "wasm32")]
#[inline(always)]
fn transpose(square: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    use std::arch::wasm32::{i32x4_shuffle, i64x2_shuffle, v128_load, v128_store};
    let mut transposed = [[0.0; SQUARE]; SQUARE];
    // SAFETY: all are four numbers.
    unsafe {
        let [a, b, c, d] = square.map(|row| v128_load(row.as_ptr().cast()));
        let (low_ab, high_ab) =
            (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (low_cd, high_cd) =
            (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        let rows = [
            i64x2_shuffle::<0, 2>(low_ab, low_cd),
            i64x2_shuffle::<1, 3>(low_ab, low_cd),
            i64x2_shuffle::<0, 2>(high_ab, high_cd),
            i64x2_shuffle::<1, 3>(high_ab, high_cd),
        ];
        for (to, row) in transposed.iter_mut().zip(rows) {
            v128_store(to.as_mut_ptr().cast(), row);
        }
    }
    transposed
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "wasm32")))]
#[inline(always)]
fn transpose(square: [[f32; SQUARE]; SQUARE]) -> [[f32; SQUARE]; SQUARE] {
    std::array::from_fn(|i| square.map(|row| row[i]))
}
