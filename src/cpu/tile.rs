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

/// `tile + left · right`.
#[inline(always)]
pub fn multiply<const MR: usize, const NR: usize, const FUSED: bool>(
    mut tile: Tile<MR, NR>,
    left: Left<'_, MR>,
    right: &[[f32; NR]],
) -> Tile<MR, NR> {
    match left {
        Left::Rows(rows) => {
            assert!(rows.iter().all(|row| row.len() >= right.len()), "rows as long as the panel");
            for (k, b) in right.iter().enumerate() {
                // SAFETY: `k` is below the length of every row by the assertion. (Checks in this loop keep
                // compilers from vector instructions.)
                let a = rows.map(|row| unsafe { *row.get_unchecked(k) });
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
    if let Ok(from) = <&[A; NR]>::try_from(from) {
        return from.map(A::get);
    }
    let mut values = [0.0; NR];
    for (value, from) in values.iter_mut().zip(from) {
        *value = from.get();
    }
    values
}

/// Stores as many values as `to` has.
#[inline(always)]
pub fn store<const NR: usize, A: Value>(values: &[f32; NR], to: &mut [A]) {
    if let Ok(to) = <&mut [A; NR]>::try_from(&mut *to) {
        *to = values.map(A::of);
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
        let from = &matrix[k * stride + first..][..width];
        if let Ok(from) = <&[A; WIDTH]>::try_from(from) {
            *to = from.map(A::get);
        } else {
            *to = [0.0; WIDTH];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from.get();
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
