//! Principal components of patches: the few directions in which they vary most.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::{Error, Result};
use crate::setting::Setting;

/// Rows that enter the covariance together: bounds the f64 copies.
const BLOCK: usize = 1024;

/// The mean of rows of P values, and their K principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// Mean row, `[P]`.
    pub mean: Vec<f32>,
    /// Components, `[K, P]`: orthonormal rows, the one with the largest variance first. The entry
    /// of each with the largest magnitude is positive.
    pub basis: Vec<f32>,
    /// Share of the rows' variance that the components keep, 0..1; 1 if nothing varies.
    pub explained: f64,
}

impl Pca {
    /// The first `components` (K) of `rows` `[N, P]` with P = `dim`, from the eigenvectors of their
    /// covariance, in f64 on one thread: time N·P² and P³, the same bits for the same rows on the
    /// same kind of processor. Directions of equal variance, or of none, are arbitrary.
    ///
    /// # Errors
    /// [`Error::Config`] if `components` is 0 or above N or P, or a value is not finite.
    ///
    /// # Panics
    /// If `dim` is 0 or `rows` are not whole.
    pub fn fit(rows: &[f32], dim: usize, components: usize) -> Result<Self> {
        let count = rows.len() / dim;
        assert_eq!(rows.len(), count * dim, "whole rows of {dim} values");
        let most = count.min(dim);
        if components == 0 || components > most {
            let problem = format!(
                "must be at least 1 and, for {count} patches of {dim} values, at most {most}, \
                 got {components}"
            );
            return Err(Error::config(Setting::TargetComponents, problem));
        }
        let mean = mean(rows, dim);
        let covariance = covariance(rows, &mean);
        let total = covariance.trace();
        if !total.is_finite() {
            let problem = "principal components need finite values, got NaN or infinity";
            return Err(Error::config(Setting::Data, problem));
        }
        let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
        order.truncate(components);
        let component = |&index: &usize| {
            let vector = eigenvectors.column(index);
            let sign = vector[vector.iamax()].signum();
            vector.iter().map(|x| (x * sign) as f32).collect::<Vec<_>>()
        };
        let basis = order.iter().flat_map(component).collect();
        let kept: f64 = order.iter().map(|&index| eigenvalues[index]).sum();
        let explained = if total > 0.0 { (kept / total).clamp(0.0, 1.0) } else { 1.0 };
        Ok(Self { mean: mean.iter().map(|&x| x as f32).collect(), basis, explained })
    }

    /// Rows `[M, P]` out of `coefficients` `[M, K]`: the mean and that much of each component.
    ///
    /// # Panics
    /// If there are not K coefficients for each row.
    pub fn reconstruct(&self, coefficients: &[f32]) -> Vec<f32> {
        let dim = self.mean.len();
        let components = self.basis.len() / dim;
        assert!(coefficients.len().is_multiple_of(components), "{components} coefficients per row");
        let row = |coefficients: &[f32]| {
            let mut row = self.mean.clone();
            for (component, coefficient) in self.basis.chunks_exact(dim).zip(coefficients) {
                row.iter_mut().zip(component).for_each(|(sum, x)| *sum += coefficient * x);
            }
            row
        };
        coefficients.chunks_exact(components).flat_map(row).collect()
    }
}

/// Mean of `rows` `[N, P]`, N above 0.
fn mean(rows: &[f32], dim: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let count = (rows.len() / dim) as f64;
    mean.iter_mut().for_each(|sum| *sum /= count);
    mean
}

/// `[P, P]` covariance of `rows` `[N, P]` about their `mean` (divided by N).
fn covariance(rows: &[f32], mean: &[f64]) -> DMatrix<f64> {
    let dim = mean.len();
    let mut covariance = DMatrix::zeros(dim, dim);
    let share = dim as f64 / rows.len() as f64;
    for block in rows.chunks(BLOCK * dim) {
        let centred = block.iter().zip(mean.iter().cycle()).map(|(&x, mean)| f64::from(x) - mean);
        // A matrix is stored by columns, so that each row is one.
        let columns = DMatrix::from_iterator(dim, block.len() / dim, centred);
        covariance.gemm(share, &columns, &columns.transpose(), 1.0);
    }
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Rng;

    /// Coefficients `[N, K]` of `rows`.
    fn project(pca: &Pca, rows: &[f32]) -> Vec<f32> {
        let dim = pca.mean.len();
        let onto = |row: &[f32], component: &[f32]| {
            let centred = row.iter().zip(&pca.mean).map(|(x, mean)| x - mean);
            centred.zip(component).map(|(x, c)| x * c).sum::<f32>()
        };
        let rows = rows.chunks_exact(dim);
        rows.flat_map(|row| pca.basis.chunks_exact(dim).map(|c| onto(row, c))).collect()
    }

    fn mean_square(a: &[f32], b: &[f32]) -> f64 {
        let square = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        square / a.len() as f64
    }

    fn close(a: &[f32], b: &[f32], within: f32) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < within)
    }

    #[test]
    fn a_plane_is_found_under_noise() {
        let mean = [1.0, -2.0, 0.5, 3.0];
        let (long, short) = ([0.8, 0.4, -0.4, 0.2], [-0.4, 0.8, 0.2, 0.4]);
        let mut rng = Rng::new(5, [0; 3]);
        // More than two blocks. Deviations 3 and 1 in the plane, 0.1 in every direction.
        let count = 3 * BLOCK - 7;
        let rows: Vec<f32> = (0..count)
            .flat_map(|_| {
                let (along, across) = (3.0 * rng.normal(), rng.normal());
                let at = |i| mean[i] + along * long[i] + across * short[i];
                std::array::from_fn::<f32, 4, _>(|i| at(i) + 0.1 * rng.normal())
            })
            .collect();
        let pca = Pca::fit(&rows, 4, 2).unwrap();
        assert!(close(&pca.mean, &mean, 0.15), "{pca:?}");
        assert!(close(&pca.basis, &[long, short].concat(), 0.02), "{pca:?}");
        let variance = 9.0 + 1.0 + 4.0 * 0.01;
        assert!((pca.explained - (variance - 2.0 * 0.01) / variance).abs() < 2e-4, "{pca:?}");
        // What is lost is the noise of the two other directions.
        let back = pca.reconstruct(&project(&pca, &rows));
        let lost = mean_square(&rows, &back) * 4.0;
        assert!((lost - 2.0 * 0.01).abs() < 2e-3, "{lost}");
        let one = Pca::fit(&rows, 4, 1).unwrap();
        assert_eq!((&one.basis[..], &one.mean), (&pca.basis[..4], &pca.mean));
        assert!((one.explained - 9.01 / variance).abs() < 0.01, "{one:?}");
    }

    #[test]
    fn every_block_counts() {
        // One block along x, one of a quarter of its variance along y.
        let pairs = std::iter::repeat_n([2.0, 0.0, -2.0, 0.0], BLOCK / 2);
        let pairs = pairs.chain(std::iter::repeat_n([0.0, 1.0, 0.0, -1.0], BLOCK / 2));
        let pca = Pca::fit(&pairs.flatten().collect::<Vec<_>>(), 2, 1).unwrap();
        assert!(close(&pca.basis, &[1.0, 0.0], 1e-6), "{pca:?}");
        assert!((pca.explained - 0.8).abs() < 1e-12, "{pca:?}");
    }

    #[test]
    fn a_line_is_exact_and_its_sign_is_fixed() {
        for flip in [1.0, -1.0] {
            let rows: Vec<f32> = [-2.0, -1.0, 3.0]
                .iter()
                .flat_map(|t| [1.0 + 6.0 * t * flip, 2.0 - 8.0 * t * flip])
                .collect();
            let pca = Pca::fit(&rows, 2, 1).unwrap();
            assert!(close(&pca.mean, &[1.0, 2.0], 1e-6), "{pca:?}");
            assert!(close(&pca.basis, &[-0.6, 0.8], 1e-6), "{pca:?}");
            assert!((pca.explained - 1.0).abs() < 1e-12);
            assert!(close(&pca.reconstruct(&[5.0, 0.0]), &[-2.0, 6.0, 1.0, 2.0], 1e-5));
        }
    }

    #[test]
    fn all_components_are_orthonormal_and_lose_nothing() {
        let mut rng = Rng::new(6, [0; 3]);
        let dim = 24;
        let rows: Vec<f32> = (0..100 * dim).map(|i| rng.normal() * (1 + i % dim) as f32).collect();
        let pca = Pca::fit(&rows, dim, dim).unwrap();
        for (i, a) in pca.basis.chunks_exact(dim).enumerate() {
            for (j, b) in pca.basis.chunks_exact(dim).enumerate() {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((dot - f32::from(i == j)).abs() < 1e-6, "{i} {j}: {dot}");
            }
            let largest = a.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            assert!(largest > Some(0.0), "{a:?}");
        }
        let coefficients = project(&pca, &rows);
        let variance =
            |k: usize| coefficients.iter().skip(k).step_by(dim).map(|c| c * c).sum::<f32>();
        assert!((1..dim).all(|k| variance(k) < variance(k - 1)));
        assert!((pca.explained - 1.0).abs() < 1e-12, "{}", pca.explained);
        assert!(mean_square(&rows, &pca.reconstruct(&coefficients)) < 1e-8);
        assert_eq!(Pca::fit(&rows, dim, dim).unwrap(), pca);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let rows = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0];
        let problem = |components, dim, rows: &[f32]| {
            Pca::fit(rows, dim, components).unwrap_err().to_string()
        };
        assert!(problem(0, 2, &rows).starts_with("target.components"));
        assert!(problem(3, 2, &rows).contains("at most 2, got 3"));
        assert!(problem(3, 3, &rows).contains("at most 2, got 3"));
        assert!(problem(1, 2, &[]).contains("0 patches"));
        assert!(problem(1, 2, &[1.0, f32::NAN, 0.0, 0.0]).contains("finite"));
        // Nothing varies: any direction will do, and none loses anything.
        let pca = Pca::fit(&rows, 2, 1).unwrap();
        assert_eq!((&pca.mean[..], pca.explained), (&[1.0, 2.0][..], 1.0));
        assert_eq!(pca.reconstruct(&[0.0]), [1.0, 2.0]);
    }
}
