//! LayerNorm over the last dimension.

use std::ops::Range;

use super::Value;
use super::parallel::{self, Shared};
use super::vector::{sum, two_sums};
use crate::{layer_norm as forward, layer_norm_backward, layer_norm_backward_params};

/// Columns of which a task adds up rows: a cache line of each row at least.
const COLUMNS: usize = 64;

/// `y = (x − μ)·rstd·γ + β` with the biased variance; keeps μ and rstd of each row.
pub fn layer_norm<A: Value>(
    params: &forward::Params,
    _: &forward::Constants,
    slices: forward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let (y, stats) = (Shared::new(slices.y), Shared::new(slices.stats));
    let (gamma, beta) = (&slices.gamma[..dim], &slices.beta[..dim]);
    parallel::ranges(rows, parallel::rows_per_task(dim), |rows| {
        let x = &slices.x[rows.start * dim..rows.end * dim];
        // SAFETY: a row belongs to one task.
        let (y, stats) = unsafe {
            (y.part(rows.start * dim, rows.len() * dim), stats.part(2 * rows.start, 2 * rows.len()))
        };
        normalise_rows(x, gamma, beta, params.eps, y, stats);
    });
}

vectorised! {
    fn normalise_rows<A: Value>(x: &[A], gamma: &[f32], beta: &[f32], eps: f32, y: &mut [A], stats: &mut [f32]) {
        let dim = gamma.len();
        let rows = x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)).zip(stats.as_chunks_mut::<2>().0);
        for ((x, y), stats) in rows {
            let mean = sum(x, |x| x) / dim as f32;
            // Second pass over the deviations: exact also where the mean is large against the spread.
            let variance = sum(x, |x| (x - mean) * (x - mean)) / dim as f32;
            let rstd = 1.0 / (variance + eps).sqrt();
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = A::of((x.get() - mean) * rstd * gamma + beta);
            }
            *stats = [mean, rstd];
        }
    }
}

/// `dx (+)= rstd·(g − mean(g) − x̂·mean(g·x̂))` with `g = dy·γ`.
pub fn layer_norm_backward<A: Value>(
    params: &layer_norm_backward::Params,
    constants: &layer_norm_backward::Constants,
    slices: layer_norm_backward::Slices<'_, A>,
) {
    let (rows, dim) = (params.rows as usize, params.dim as usize);
    let dx = Shared::new(slices.dx);
    let gamma = &slices.gamma[..dim];
    parallel::ranges(rows, parallel::rows_per_task(dim), |rows| {
        let range = rows.start * dim..rows.end * dim;
        let stats = &slices.stats[2 * rows.start..2 * rows.end];
        // SAFETY: a row belongs to one task.
        let dx = unsafe { dx.part(range.start, range.len()) };
        let (dy, x) = (&slices.dy[range.clone()], &slices.x[range]);
        backward_rows(dy, x, gamma, stats, constants.accumulate, dx);
    });
}

vectorised! {
    fn backward_rows<A: Value>(
        dy: &[A],
        x: &[A],
        gamma: &[f32],
        stats: &[f32],
        accumulate: bool,
        dx: &mut [A],
    ) {
        let dim = gamma.len();
        let rows = dy.chunks_exact(dim).zip(x.chunks_exact(dim)).zip(dx.chunks_exact_mut(dim));
        for (((dy, x), dx), &[mean, rstd]) in rows.zip(stats.as_chunks::<2>().0) {
            let sums = two_sums(dy, x, gamma, |dy, x, gamma| {
                let g = dy * gamma;
                [g, g * ((x - mean) * rstd)]
            });
            let [mean_g, mean_gx] = sums.map(|sum| sum / dim as f32);
            for (((dx, dy), x), gamma) in dx.iter_mut().zip(dy).zip(x).zip(gamma) {
                let normalised = (x.get() - mean) * rstd;
                let value = rstd * (dy.get() * gamma - mean_g - normalised * mean_gx);
                *dx = A::of(if accumulate { dx.get() + value } else { value });
            }
        }
    }
}

/// Σ dy·x̂ for γ and Σ dy for β over each chunk of rows.
pub fn layer_norm_backward_params<A: Value>(
    params: &layer_norm_backward_params::Params,
    constants: &layer_norm_backward_params::Constants,
    slices: layer_norm_backward_params::Slices<'_, A>,
) {
    let (rows, dim, per_chunk) =
        (params.rows as usize, params.dim as usize, params.rows_per_chunk as usize);
    let (d_gamma, d_beta) = (Shared::new(slices.d_gamma), Shared::new(slices.d_beta));
    let strips = dim.div_ceil(COLUMNS);
    parallel::each(rows.div_ceil(per_chunk) * strips, |i| {
        let (chunk, strip) = (i / strips, i % strips);
        let rows = chunk * per_chunk..((chunk + 1) * per_chunk).min(rows);
        let columns = strip * COLUMNS..((strip + 1) * COLUMNS).min(dim);
        let at = chunk * dim + columns.start;
        let sums = parameter_sums(slices.dy, slices.x, slices.stats, dim, rows, columns.clone());
        // SAFETY: a strip of a chunk has one task.
        let to = unsafe { [d_gamma.part(at, columns.len()), d_beta.part(at, columns.len())] };
        for (to, sums) in to.into_iter().zip(&sums) {
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = if constants.accumulate { *to + sum } else { *sum };
            }
        }
    });
}

vectorised! {
    /// Σ dy·x̂ and Σ dy over some rows of some columns.
    fn parameter_sums<A: Value>(
        dy: &[A],
        x: &[A],
        stats: &[f32],
        dim: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> [[f32; COLUMNS]; 2] {
        let mut sums = [[0.0; COLUMNS]; 2];
        for row in rows {
            let (mean, rstd) = (stats[2 * row], stats[2 * row + 1]);
            let at = row * dim + columns.start;
            let [gamma_sums, beta_sums] = &mut sums;
            let own = dy[at..][..columns.len()].iter().zip(&x[at..][..columns.len()]);
            for ((gamma_sum, beta_sum), (dy, x)) in gamma_sums.iter_mut().zip(beta_sums).zip(own) {
                *gamma_sum += dy.get() * ((x.get() - mean) * rstd);
                *beta_sum += dy.get();
            }
        }
        sums
    }
}
