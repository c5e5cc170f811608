//! The inner loop of every product of matrices: a tile of the result that stays in registers.
//!
//! A tile has `MR` rows and `NR` columns. Its right operand is packed: panels of `NR` columns, each `[K, NR]`,
//! so that a step along K reads one contiguous row of it. Its left operand is `MR` rows as they lie, or
//! packed likewise, `[K, MR]`.

use super::Value;
use super::vector::multiply_add;

/// Values of a tile, by rows.
pub type Tile<const MR: usize, const NR: usize> = [[f32; NR]; MR];

/// Where a tile's left operand is.
#[derive(Clone, Copy)]
pub enum Left<'a, const MR: usize> {
    /// The row of each of the tile's rows; all have one length.
    Rows([&'a [f32]; MR]),
    /// `[K, MR]`
    Packed(&'a [[f32; MR]]),
}

/// `left · right`.
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
                let mut a = [0.0; MR];
                for (a, row) in a.iter_mut().zip(rows) {
                    // SAFETY: `k` is below the length of every row by the assertion. (Checks in this loop keep
                    // compilers from vector instructions.)
                    *a = unsafe { *row.get_unchecked(k) };
                }
                step::<MR, NR, FUSED>(&mut tile, &a, b);
            }
        }
        Left::Packed(columns) => {
            for (a, b) in columns.iter().zip(right) {
                step::<MR, NR, FUSED>(&mut tile, a, b);
            }
        }
    }
    tile
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

#[inline(always)]
fn step<const MR: usize, const NR: usize, const FUSED: bool>(
    tile: &mut Tile<MR, NR>,
    a: &[f32; MR],
    b: &[f32; NR],
) {
    for (sums, &a) in tile.iter_mut().zip(a) {
        for (sum, &b) in sums.iter_mut().zip(b) {
            *sum = multiply_add::<FUSED>(a, b, *sum);
        }
    }
}

/// The values of `from`, zero behind them.
#[inline(always)]
pub fn load<const NR: usize, A: Value>(from: &[A]) -> [f32; NR] {
    let mut values = [0.0; NR];
    if let Ok(from) = <&[A; NR]>::try_from(from) {
        // As the length is a constant here, the loop is unrolled.
        for (value, from) in values.iter_mut().zip(from) {
            *value = from.get();
        }
        return values;
    }
    for (value, from) in values.iter_mut().zip(from) {
        *value = from.get();
    }
    values
}

/// Stores as many values as `to` has.
#[inline(always)]
pub fn store<const NR: usize, A: Value>(values: &[f32; NR], to: &mut [A]) {
    if let Ok(to) = <&mut [A; NR]>::try_from(&mut *to) {
        for (to, &value) in to.iter_mut().zip(values) {
            *to = A::of(value);
        }
        return;
    }
    for (to, &value) in to.iter_mut().zip(values) {
        *to = A::of(value);
    }
}

/// Packs columns `first..` of a matrix whose rows are `stride` apart into a panel; columns past `end` are zero.
#[inline(always)]
pub fn pack_columns<const WIDTH: usize, A: Value>(
    matrix: &[A],
    stride: usize,
    first: usize,
    end: usize,
    panel: &mut [[f32; WIDTH]],
) {
    let width = WIDTH.min(end - first);
    for (k, to) in panel.iter_mut().enumerate() {
        *to = load(&matrix[k * stride + first..][..width]);
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
    /// Values of a row that are moved together.
    const STEP: usize = 8;
    for row in 0..WIDTH {
        if first + row >= end {
            panel.iter_mut().for_each(|to| to[row] = 0.0);
            continue;
        }
        let from = &matrix[(first + row) * stride..][..panel.len()];
        let (from, rest) = from.as_chunks::<STEP>();
        let (to, to_rest) = panel.as_chunks_mut::<STEP>();
        for (from, to) in from.iter().zip(to) {
            for (from, to) in from.iter().zip(to) {
                to[row] = from.get();
            }
        }
        for (from, to) in rest.iter().zip(to_rest) {
            to[row] = from.get();
        }
    }
}
