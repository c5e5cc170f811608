//! BatchNorm without affine parameters over rows.

use std::ops::Range;

use super::Value;
use super::parallel::{self, Shared};
use crate::{batch_norm as forward, batch_norm_backward};

/// Features of a task: a cache line of each row at least.
const COLUMNS: usize = 64;

/// With `train` batch statistics (biased variance) normalise and running ones are updated (unbiased variance);
/// else running ones normalise. What is not finite updates nothing: the step is skipped, which is only known after
/// the backward pass. Keeps μ and rstd of each feature.
pub fn batch_norm<A: Value>(
    params: &forward::Params,
    constants: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let running = [Shared::new(slices.running_mean), Shared::new(slices.running_var)];
    let (y, stats) = (Shared::new(slices.y), Shared::new(slices.stats));
    parallel::ranges(dim, COLUMNS, |columns| {
        let x = Columns { values: slices.x, rows, dim, range: columns.clone() };
        // SAFETY: a feature belongs to one task.
        let [means, variances] =
            running.each_ref().map(|running| unsafe { running.part(columns.start, columns.len()) });
        let (mut mean, mut variance) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        mean[..columns.len()].copy_from_slice(means);
        variance[..columns.len()].copy_from_slice(variances);
        if constants.train {
            let n = params.rows as f32;
            mean = x.sums(|_, x| x).map(|sum| sum / n);
            let squares = x.sums(|j, x| (x - mean[j]) * (x - mean[j]));
            variance = squares.map(|squares| squares / n);
            for j in 0..columns.len() {
                let unbiased = squares[j] / (n - 1.0).max(1.0);
                let next_mean = means[j] + params.momentum * (mean[j] - means[j]);
                let next_variance = variances[j] + params.momentum * (unbiased - variances[j]);
                if next_mean.is_finite() && next_variance.is_finite() {
                    (means[j], variances[j]) = (next_mean, next_variance);
                }
            }
        }
        let rstd = variance.map(|variance| 1.0 / (variance + params.eps).sqrt());
        for row in 0..rows {
            // SAFETY: as above.
            let y = unsafe { y.part(row * dim + columns.start, columns.len()) };
            for (j, (y, x)) in y.iter_mut().zip(x.row(row)).enumerate() {
                *y = A::of((x.get() - mean[j]) * rstd[j]);
            }
        }
        // SAFETY: as above.
        let stats = unsafe { stats.part(2 * columns.start, 2 * columns.len()) };
        for (stats, own) in stats.as_chunks_mut::<2>().0.iter_mut().zip(mean.into_iter().zip(rstd))
        {
            *stats = own.into();
        }
    });
}

/// `dx = rstd·(dy − mean(dy) − x̂·mean(dy·x̂))`.
pub fn batch_norm_backward<A: Value>(
    params: &batch_norm_backward::Params,
    _: &batch_norm_backward::Constants,
    slices: batch_norm_backward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let dx = Shared::new(slices.dx);
    parallel::ranges(dim, COLUMNS, |columns| {
        let dy = Columns { values: slices.dy, rows, dim, range: columns.clone() };
        let y = Columns { values: slices.y, rows, dim, range: columns.clone() };
        let n = params.rows as f32;
        let mean = dy.sums(|_, dy| dy).map(|sum| sum / n);
        let mut mean_y = [0.0; COLUMNS];
        for row in 0..rows {
            for (sum, (dy, y)) in mean_y.iter_mut().zip(dy.row(row).iter().zip(y.row(row))) {
                *sum += dy.get() * y.get();
            }
        }
        let mean_y = mean_y.map(|sum| sum / n);
        for row in 0..rows {
            // SAFETY: a feature belongs to one task.
            let dx = unsafe { dx.part(row * dim + columns.start, columns.len()) };
            for (j, (dx, (dy, y))) in
                dx.iter_mut().zip(dy.row(row).iter().zip(y.row(row))).enumerate()
            {
                let rstd = slices.stats[2 * (columns.start + j) + 1];
                *dx = A::of(rstd * (dy.get() - mean[j] - y.get() * mean_y[j]));
            }
        }
    });
}

/// Some features of all rows.
struct Columns<'a, A> {
    values: &'a [A],
    rows: usize,
    dim: usize,
    range: Range<usize>,
}

impl<'a, A: Value> Columns<'a, A> {
    fn row(&self, row: usize) -> &'a [A] {
        &self.values[row * self.dim..][self.range.clone()]
    }

    /// Σ term(feature, value) over the rows.
    fn sums(&self, term: impl Fn(usize, f32) -> f32) -> [f32; COLUMNS] {
        let mut sums = [0.0; COLUMNS];
        for row in 0..self.rows {
            for (j, (sum, x)) in sums.iter_mut().zip(self.row(row)).enumerate() {
                *sum += term(j, x.get());
            }
        }
        sums
    }
}
