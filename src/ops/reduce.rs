//! Sums over rows.

use crate::kernels::column_sum;
use crate::program::{Recorder, Tensor};

/// Rows that are summed at once of `rows`; more go through partial sums.
pub(super) fn rows_per_chunk(rec: &Recorder, rows: usize) -> usize {
    /// Chunks that one sum takes nearly as fast as two launches.
    const AT_ONCE: usize = 4;
    let per_chunk = rec.target().rows_per_sum();
    if rows <= per_chunk.saturating_mul(AT_ONCE) { rows } else { per_chunk }
}

/// Invocations of a workgroup that share the `rows` of a column: few rows each, so that no sum is long.
pub(super) fn shares_of_rows(rows: usize) -> usize {
    /// Rows of an invocation.
    const ROWS: usize = 8;
    /// More would leave too few neighbours to load together.
    const MOST: usize = 32;
    rows.div_ceil(ROWS).next_power_of_two().min(MOST)
}

/// Groups of a kernel whose 256 invocations take four columns each, and `shares` of them the same ones.
pub(super) fn groups_of_strips(chunks: usize, dim: usize, shares: usize) -> usize {
    chunks * dim.div_ceil(4 * 256 / shares)
}

/// `out [D] += Σ x [rows, D]`, only over the rows whose kind is the filter's if there is one.
pub fn add_column_sums(rec: &mut Recorder, x: Tensor, out: Tensor, filter: Option<(Tensor, u32)>) {
    match in_one_chunk(rec, x, out, filter) {
        Some(partial) => column_sum(rec, Sum::all(rec, partial, out), None, None),
        None => column_sum(rec, Sum::all(rec, x, out), filter, None),
    }
}

/// `out [D] += Σ x [rows, D]` of two tensors that have nothing to do with each other, the second in f32.
pub(super) fn add_two_column_sums(rec: &mut Recorder, sums: [(Tensor, Tensor); 2]) {
    let [first, second] = sums.map(|(x, out)| {
        let x = in_one_chunk(rec, x, out, None).unwrap_or(x);
        Sum::all(rec, x, out)
    });
    column_sum(rec, first, None, Some(second));
}

/// Sums of chunks of rows, if there are too many rows for one.
fn in_one_chunk(
    rec: &mut Recorder,
    x: Tensor,
    out: Tensor,
    filter: Option<(Tensor, u32)>,
) -> Option<Tensor> {
    let dim = rec.len(out);
    let rows = rec.len(x) / dim;
    let per_chunk = rows_per_chunk(rec, rows);
    (rows > per_chunk).then(|| {
        let partial = rec.transient("partial sums", [rows.div_ceil(per_chunk), dim]);
        let sum = Sum { x, out: partial, rows, dim, per_chunk, accumulate: false };
        column_sum(rec, sum, filter, None);
        partial
    })
}

/// `out [chunks, D]` is, or grows by, the sums of chunks of `x [rows, D]`.
#[derive(Clone, Copy)]
struct Sum {
    x: Tensor,
    out: Tensor,
    rows: usize,
    dim: usize,
    per_chunk: usize,
    accumulate: bool,
}

impl Sum {
    fn all(rec: &Recorder, x: Tensor, out: Tensor) -> Self {
        let dim = rec.len(out);
        let rows = rec.len(x) / dim;
        Self { x, out, rows, dim, per_chunk: rows, accumulate: true }
    }

    fn shares(&self) -> usize {
        shares_of_rows(self.per_chunk)
    }

    fn groups(&self) -> usize {
        groups_of_strips(self.rows.div_ceil(self.per_chunk), self.dim, self.shares())
    }
}

fn column_sum(rec: &mut Recorder, sum: Sum, filter: Option<(Tensor, u32)>, second: Option<Sum>) {
    let constants = column_sum::Constants { filter: filter.is_some(), accumulate: sum.accumulate };
    let (groups, groups2) = (sum.groups(), second.map_or(0, |second| second.groups()));
    let (x2, out2, rows2, dim2, shares2) = match second {
        Some(second) => (second.x, second.out, second.rows, second.dim, second.shares()),
        None => (rec.unused(), rec.unused_out(), 0, 0, 1),
    };
    let (row_kind, wanted) = filter.unwrap_or((rec.unused(), 0));
    let params = column_sum::Params {
        rows: sum.rows as u32,
        dim: sum.dim as u32,
        rows_per_chunk: sum.per_chunk as u32,
        shares: sum.shares() as u32,
        wanted,
        groups: groups as u32,
        rows2: rows2 as u32,
        dim2: dim2 as u32,
        shares2: shares2 as u32,
        groups2: groups2 as u32,
    };
    let bindings = column_sum::Bindings { x: sum.x, row_kind, out: sum.out, x2, out2 };
    rec.launch(params, constants, bindings, groups + groups2);
}
