//! What comes behind the blocks, in plain f64: losses, pooling, BatchNorm, patches. Gradients are
//! held to the forward code by central differences.

use webmae::ModelConfig;
use webmae::ops::Flatten;

use crate::oracle::softmax;

/// Mean over the rows of −Σ t·log softmax(x), and its gradient.
pub fn cross_entropy(x: &[f64], targets: &[f64], classes: usize) -> (f64, Vec<f64>) {
    let rows = (x.len() / classes) as f64;
    let p = softmax(x, classes);
    let mut loss = 0.0;
    for (row, t) in x.chunks(classes).zip(targets.chunks(classes)) {
        let maximum = row.iter().fold(f64::NEG_INFINITY, |max, &v| max.max(v));
        let lse = maximum + row.iter().map(|v| (v - maximum).exp()).sum::<f64>().ln();
        loss += row.iter().zip(t).map(|(x, t)| t * (lse - x)).sum::<f64>();
    }
    let totals = targets.chunks(classes).map(|t| t.iter().sum::<f64>());
    let totals: Vec<f64> = totals.collect();
    let gradient = |(i, p): (usize, &f64)| (p * totals[i / classes] - targets[i]) / rows;
    (loss / rows, p.iter().enumerate().map(gradient).collect())
}

/// Batch statistics of every feature: mean and biased variance.
pub fn batch_statistics(x: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = x.len() / dim;
    let mean = |f: &dyn Fn(usize) -> f64| (0..rows).map(f).sum::<f64>() / rows as f64;
    let means: Vec<f64> = (0..dim).map(|d| mean(&|r| x[r * dim + d])).collect();
    let variances = (0..dim).map(|d| mean(&|r| (x[r * dim + d] - means[d]).powi(2)));
    let variances = variances.collect();
    (means, variances)
}

pub fn batch_norm(x: &[f64], dim: usize, eps: f64) -> Vec<f64> {
    let (means, variances) = batch_statistics(x, dim);
    let value = |(i, x): (usize, &f64)| (x - means[i % dim]) / (variances[i % dim] + eps).sqrt();
    x.iter().enumerate().map(value).collect()
}

pub fn batch_norm_backward(x: &[f64], dim: usize, eps: f64, dy: &[f64]) -> Vec<f64> {
    let rows = x.len() / dim;
    let (_, variances) = batch_statistics(x, dim);
    let y = batch_norm(x, dim, eps);
    let mut dx = vec![0.0; x.len()];
    for d in 0..dim {
        let column = |v: &[f64]| -> Vec<f64> { (0..rows).map(|r| v[r * dim + d]).collect() };
        let (y, dy) = (column(&y), column(dy));
        let mean_dy = dy.iter().sum::<f64>() / rows as f64;
        let mean_dyy = dy.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>() / rows as f64;
        for r in 0..rows {
            let centred = dy[r] - mean_dy - y[r] * mean_dyy;
            dx[r * dim + d] = centred / (variances[d] + eps).sqrt();
        }
    }
    dx
}

/// `images [B, C, H, W] → [B, L, P]`, by walking over the pixels.
pub fn patchify<T: Copy + Default>(config: &ModelConfig, images: &[T], flatten: Flatten) -> Vec<T> {
    let ([height, width], [p, q], channels) =
        (config.image_size, config.patch_size, config.channels);
    let grid_w = width / q;
    let patch_dim = p * q * channels;
    let mut out = vec![T::default(); images.len()];
    for (i, &value) in images.iter().enumerate() {
        let (x, y) = (i % width, i / width % height);
        let (c, b) = (i / (width * height) % channels, i / (width * height * channels));
        let patch = y / p * grid_w + x / q;
        let (row, col) = (y % p, x % q);
        let place = match flatten {
            Flatten::ChannelFirst => (c * p + row) * q + col,
            Flatten::ChannelLast => (row * q + col) * channels + c,
        };
        out[(b * config.num_patches() + patch) * patch_dim + place] = value;
    }
    out
}

/// A patch's pixels normalised by their mean and unbiased variance.
pub fn norm_pix(patch: &[f64]) -> Vec<f64> {
    let n = patch.len() as f64;
    let mean = patch.iter().sum::<f64>() / n;
    let variance = patch.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    patch.iter().map(|v| (v - mean) / (variance + 1e-6).sqrt()).collect()
}

/// Loss of every token of `pred [B, T, P]`, the mean over `masked` patches, and its gradient.
pub fn masked_loss(
    config: &ModelConfig,
    images: &[f64],
    targets: &[Option<usize>],
    pred: &[f64],
    masked: f64,
) -> (Vec<f64>, f64, Vec<f64>) {
    let patch_dim = config.patch_dim();
    let patches = patchify(config, images, Flatten::ChannelLast);
    let batch = images.len() / config.image_len();
    let tokens = targets.len() / batch;
    let (mut losses, mut gradient) = (vec![0.0; targets.len()], vec![0.0; pred.len()]);
    for (token, target) in targets.iter().enumerate() {
        let Some(patch) = *target else { continue };
        let first = (token / tokens * config.num_patches() + patch) * patch_dim;
        let raw = &patches[first..first + patch_dim];
        let wanted = if config.norm_pix_loss { norm_pix(raw) } else { raw.to_vec() };
        for (e, wanted) in wanted.iter().enumerate() {
            let difference = pred[token * patch_dim + e] - wanted;
            losses[token] += difference * difference / patch_dim as f64;
            gradient[token * patch_dim + e] = 2.0 * difference / (patch_dim as f64 * masked);
        }
    }
    let loss = losses.iter().sum::<f64>() / masked;
    (losses, loss, gradient)
}

#[test]
fn the_gradients_are_the_derivatives() {
    use crate::bench::{Failures, normal, wide};
    use crate::oracle::derivative;
    let mut failures = Failures::default();
    let (rows, dim) = (4, 3);
    let data = |stream| wide(&normal(stream, rows * dim));
    let (x, dy, targets) = (data(1), data(2), data(3));
    let (_, g) = cross_entropy(&x, &targets, dim);
    let f = &mut failures;
    derivative(f, "ce", &x, &[1.0], &g, |x| vec![cross_entropy(x, &targets, dim).0]);
    let g = batch_norm_backward(&x, dim, 0.1, &dy);
    derivative(f, "batch norm", &x, &dy, &g, |x| batch_norm(x, dim, 0.1));
    let mut config = ModelConfig::preset("tiny").unwrap();
    (config.image_size, config.patch_size, config.channels) = ([2, 4], [2, 2], 1);
    config.norm_pix_loss = true;
    let (images, pred) = (wide(&normal(4, 8)), wide(&normal(5, 8)));
    let targets = [Some(1), None];
    let (_, _, g) = masked_loss(&config, &images, &targets, &pred, 1.0);
    derivative(f, "masked loss", &pred, &[1.0], &g, |pred| {
        vec![masked_loss(&config, &images, &targets, pred, 1.0).1]
    });
    failures.report();
}
