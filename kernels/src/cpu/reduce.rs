//! Sums over rows.

use std::ops::Range;

use super::Value;
use super::parallel::{self, Shared};
use crate::column_sum::{Constants, Params, Slices};

/// Columns of which a task adds up rows.
const COLUMNS: usize = 256;

/// Sums per column and chunk of rows, with `filter` only of rows whose kind is `wanted`; and a second sum, in
/// one chunk, that is added to `out2`.
pub fn column_sum<A: Value>(params: &Params, constants: &Constants, slices: Slices<'_, A>) {
    if params.groups > 0 {
        let kinds = constants.filter.then_some((slices.row_kind, params.wanted));
        let sizes = [params.rows, params.dim, params.rows_per_chunk].map(|size| size as usize);
        sums(slices.x, sizes, kinds, constants.accumulate, slices.out);
    }
    if params.groups2 > 0 {
        let sizes = [params.rows2, params.dim2, params.rows2].map(|size| size as usize);
        sums(slices.x2, sizes, None, true, slices.out2);
    }
}

/// Sums of `x [rows, dim]` for each chunk of rows, of those whose kind is wanted.
fn sums<A: Value>(
    x: &[A],
    [rows, dim, per_chunk]: [usize; 3],
    kinds: Option<(&[u32], u32)>,
    accumulate: bool,
    out: &mut [f32],
) {
    let out = Shared::new(out);
    let strips = dim.div_ceil(COLUMNS);
    parallel::each(rows.div_ceil(per_chunk.max(1)) * strips, |i| {
        let (chunk, strip) = (i / strips, i % strips);
        let rows = chunk * per_chunk..((chunk + 1) * per_chunk).min(rows);
        let columns = strip * COLUMNS..((strip + 1) * COLUMNS).min(dim);
        let sums = strip_sums(x, dim, rows, columns.clone(), kinds);
        // SAFETY: a strip of a chunk has one task.
        let to = unsafe { out.part(chunk * dim + columns.start, columns.len()) };
        for (to, sum) in to.iter_mut().zip(sums) {
            *to = if accumulate { *to + sum } else { sum };
        }
    });
}

vectorised! {
    fn strip_sums<A: Value>(
        x: &[A],
        dim: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        kinds: Option<(&[u32], u32)>,
    ) -> [f32; COLUMNS] {
        let mut sums = [0.0; COLUMNS];
        for row in rows {
            if kinds.is_some_and(|(kinds, wanted)| kinds[row] != wanted) {
                continue;
            }
            for (sum, x) in sums.iter_mut().zip(&x[row * dim..][columns.clone()]) {
                *sum += x.get();
            }
        }
        sums
    }
}
