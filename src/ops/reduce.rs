//! Sums over rows.

use super::{groups_of_eight, reads_textures};
use crate::program::{Recorder, Tensor};

/// Rows that are summed at once; more go through partial sums.
pub(super) fn rows_per_chunk(rec: &Recorder) -> usize {
    // Few cores: a second launch costs more than it gains.
    if rec.tier().is_cpu() { 16_384 } else { 4096 }
}

/// Groups of a kernel that takes 32 columns of a chunk of rows each.
pub(super) fn groups_of_strips(chunks: usize, dim: usize) -> usize {
    chunks * dim.div_ceil(32)
}

/// `out [D] += Σ x [rows, D]`, only over the rows whose kind is the filter's if there is one.
pub(super) fn add_column_sums(
    rec: &mut Recorder,
    x: Tensor,
    out: Tensor,
    filter: Option<(Tensor, u32)>,
) {
    let dim = rec.len(out);
    let rows = rec.len(x) / dim;
    let per_chunk = rows_per_chunk(rec);
    if rows <= per_chunk {
        column_sum(rec, x, out, [rows, dim, rows], filter, true);
    } else {
        let chunks = rows.div_ceil(per_chunk);
        let partial = rec.transient("partial sums", [chunks, dim]);
        column_sum(rec, x, partial, [rows, dim, per_chunk], filter, false);
        add_column_sums(rec, partial, out, None);
    }
}

fn column_sum(
    rec: &mut Recorder,
    x: Tensor,
    out: Tensor,
    [rows, dim, per_chunk]: [usize; 3],
    filter: Option<(Tensor, u32)>,
    accumulate: bool,
) {
    let count = rec.len(out);
    if filter.is_none() && reads_textures(rec, dim, &[x]) {
        let uniform = [rows, dim, per_chunk, count].map(|n| n as u32);
        let constants = [("ACCUMULATE", u32::from(accumulate))];
        let groups = groups_of_eight(count / 4);
        rec.dispatch("column_sum_texture", &constants, &uniform, &[x, out], groups);
        return;
    }
    let constants =
        [("FILTER", u32::from(filter.is_some())), ("ACCUMULATE", u32::from(accumulate))];
    let (kinds, wanted) = filter.unwrap_or((rec.unused(), 0));
    let groups = groups_of_strips(count / dim, dim);
    let uniform = [rows as u32, dim as u32, per_chunk as u32, wanted, groups as u32];
    rec.dispatch("column_sum", &constants, &uniform, &[x, kinds, out], groups);
}
