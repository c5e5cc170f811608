//! The transformer's ops in plain f64, written from their definitions; gradients by the textbook.
//! `the_gradients_are_the_derivatives` holds the second half to the first.

use crate::bench::{Failures, normal, wide};

/// The error function by its series of positive terms, 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut total, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        total += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * total
}

pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

fn gelu_grad(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)) + x * density
}

/// `x [m, k] · w [n, k]ᵀ + b [n]`.
pub fn linear(x: &[f64], w: &[f64], b: Option<&[f64]>, [m, n, k]: [usize; 3]) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let dot: f64 = (0..k).map(|p| x[i * k + p] * w[j * k + p]).sum();
            y[i * n + j] = dot + b.map_or(0.0, |b| b[j]);
        }
    }
    y
}

/// Gradients of [`linear`] in x, w and b.
pub fn linear_backward(x: &[f64], w: &[f64], dy: &[f64], [m, n, k]: [usize; 3]) -> [Vec<f64>; 3] {
    let (mut dx, mut dw, mut db) = (vec![0.0; m * k], vec![0.0; n * k], vec![0.0; n]);
    for i in 0..m {
        for j in 0..n {
            let g = dy[i * n + j];
            db[j] += g;
            for p in 0..k {
                dx[i * k + p] += g * w[j * k + p];
                dw[j * k + p] += g * x[i * k + p];
            }
        }
    }
    [dx, dw, db]
}

/// `residual + gelu(x·w1ᵀ + b1)·w2ᵀ + b2` of sizes [rows, width, hidden].
pub struct Mlp<'a> {
    pub sizes: [usize; 3],
    pub x: &'a [f64],
    pub w1: &'a [f64],
    pub b1: &'a [f64],
    pub w2: &'a [f64],
    pub b2: &'a [f64],
}

impl Mlp<'_> {
    pub fn forward(&self, residual: &[f64]) -> Vec<f64> {
        let [m, d, h] = self.sizes;
        let pre = linear(self.x, self.w1, Some(self.b1), [m, h, d]);
        let activation: Vec<f64> = pre.iter().map(|&x| gelu(x)).collect();
        let y = linear(&activation, self.w2, Some(self.b2), [m, d, h]);
        y.iter().zip(residual).map(|(y, r)| y + r).collect()
    }

    /// Gradients in x, w1, b1, w2, b2; the residual's is `dy`.
    pub fn backward(&self, dy: &[f64]) -> [Vec<f64>; 5] {
        let [m, d, h] = self.sizes;
        let pre = linear(self.x, self.w1, Some(self.b1), [m, h, d]);
        let activation: Vec<f64> = pre.iter().map(|&x| gelu(x)).collect();
        let [d_act, dw2, db2] = linear_backward(&activation, self.w2, dy, [m, d, h]);
        let d_pre: Vec<f64> = d_act.iter().zip(&pre).map(|(g, &x)| g * gelu_grad(x)).collect();
        let [dx, dw1, db1] = linear_backward(self.x, self.w1, &d_pre, [m, h, d]);
        [dx, dw1, db1, dw2, db2]
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// (x − μ) / √(σ² + eps) of each row, and 1 / √(σ² + eps); σ² biased.
pub fn normalise(x: &[f64], dim: usize, eps: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut normalised, mut rstds) = (Vec::new(), Vec::new());
    for row in x.chunks(dim) {
        let mu = mean(row.iter().copied());
        let variance = mean(row.iter().map(|v| (v - mu) * (v - mu)));
        let rstd = 1.0 / (variance + eps).sqrt();
        normalised.extend(row.iter().map(|v| (v - mu) * rstd));
        rstds.push(rstd);
    }
    (normalised, rstds)
}

pub fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64], eps: f64) -> Vec<f64> {
    let dim = gamma.len();
    let (normalised, _) = normalise(x, dim, eps);
    normalised.iter().enumerate().map(|(i, n)| n * gamma[i % dim] + beta[i % dim]).collect()
}

/// Gradients of [`layer_norm`] in x, gamma and beta.
pub fn layer_norm_backward(x: &[f64], gamma: &[f64], eps: f64, dy: &[f64]) -> [Vec<f64>; 3] {
    let dim = gamma.len();
    let (normalised, rstds) = normalise(x, dim, eps);
    let (mut dx, mut d_gamma, mut d_beta) = (Vec::new(), vec![0.0; dim], vec![0.0; dim]);
    for (r, rstd) in rstds.iter().enumerate() {
        let (n, dy) = (&normalised[r * dim..][..dim], &dy[r * dim..][..dim]);
        let g: Vec<f64> = dy.iter().zip(gamma).map(|(dy, gamma)| dy * gamma).collect();
        let mean_g = mean(g.iter().copied());
        let mean_gn = mean((0..dim).map(|i| g[i] * n[i]));
        for i in 0..dim {
            dx.push(rstd * (g[i] - mean_g - n[i] * mean_gn));
            d_gamma[i] += dy[i] * n[i];
            d_beta[i] += dy[i];
        }
    }
    [dx, d_gamma, d_beta]
}

/// Softmax of each row.
pub fn softmax(x: &[f64], dim: usize) -> Vec<f64> {
    let row = |row: &[f64]| -> Vec<f64> {
        let maximum = row.iter().fold(f64::NEG_INFINITY, |max, &v| max.max(v));
        let e: Vec<f64> = row.iter().map(|v| (v - maximum).exp()).collect();
        let total: f64 = e.iter().sum();
        e.iter().map(|e| e / total).collect()
    };
    x.chunks(dim).flat_map(row).collect()
}

pub fn softmax_backward(y: &[f64], dy: &[f64], dim: usize) -> Vec<f64> {
    let row = |(y, dy): (&[f64], &[f64])| -> Vec<f64> {
        let dot: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
        y.iter().zip(dy).map(|(y, dy)| y * (dy - dot)).collect()
    };
    y.chunks(dim).zip(dy.chunks(dim)).flat_map(row).collect()
}

/// Attention of sizes [batch, tokens, heads, dim] on `qkv [B, L, 3, H, d]`: the output `[B, L, H,
/// d]` and, given its gradient, that of qkv.
pub fn attention(qkv: &[f64], sizes: [usize; 4], dy: Option<&[f64]>) -> (Vec<f64>, Vec<f64>) {
    dropped_attention(qkv, sizes, dy, |_| 1.0)
}

/// [`attention`] with a factor on each probability [sample, head, query, key].
pub fn dropped_attention(
    qkv: &[f64],
    [batch, tokens, heads, dim]: [usize; 4],
    dy: Option<&[f64]>,
    factor: impl Fn([usize; 4]) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let scale = 1.0 / (dim as f64).sqrt();
    let at = |b: usize, t: usize, part: usize, h: usize| {
        (((b * tokens + t) * 3 + part) * heads + h) * dim
    };
    let mut out = vec![0.0; batch * tokens * heads * dim];
    let mut d_qkv = vec![0.0; qkv.len()];
    for (b, h) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
        for i in 0..tokens {
            let o = ((b * tokens + i) * heads + h) * dim;
            let q = at(b, i, 0, h);
            let dot = |x: &[f64], j: usize, part: usize| -> f64 {
                (0..dim).map(|d| x[d] * qkv[at(b, j, part, h) + d]).sum()
            };
            let scores: Vec<f64> =
                (0..tokens).map(|j| scale * dot(&qkv[q..q + dim], j, 1)).collect();
            let p = softmax(&scores, tokens);
            let factors: Vec<f64> = (0..tokens).map(|j| factor([b, h, i, j])).collect();
            for (j, p) in p.iter().enumerate() {
                for d in 0..dim {
                    out[o + d] += p * factors[j] * qkv[at(b, j, 2, h) + d];
                }
            }
            let Some(dy) = dy else { continue };
            let d_p: Vec<f64> =
                (0..tokens).map(|j| factors[j] * dot(&dy[o..o + dim], j, 2)).collect();
            let d_scores = softmax_backward(&p, &d_p, tokens);
            for j in 0..tokens {
                for d in 0..dim {
                    let k = at(b, j, 1, h);
                    d_qkv[q + d] += scale * d_scores[j] * qkv[k + d];
                    d_qkv[k + d] += scale * d_scores[j] * qkv[q + d];
                    d_qkv[at(b, j, 2, h) + d] += p[j] * factors[j] * dy[o + d];
                }
            }
        }
    }
    (out, d_qkv)
}

/// [`attention`] of one head on `qkv [L, 3, d]` for some tokens only, but with everything that the others add to
/// them: their outputs and the gradients of their queries, keys and values.
pub fn attention_of_tokens(
    qkv: &[f64],
    dim: usize,
    dy: &[f64],
    chosen: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    let scale = 1.0 / (dim as f64).sqrt();
    let rows: Vec<[&[f64]; 3]> = qkv
        .chunks_exact(3 * dim)
        .map(|row| [&row[..dim], &row[dim..2 * dim], &row[2 * dim..]])
        .collect();
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let add = |sum: &mut [f64], factor: f64, x: &[f64]| {
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
    };
    let mut out = vec![0.0; chosen.len() * dim];
    let mut d_qkv = vec![0.0; chosen.len() * 3 * dim];
    for (i, (&[q, ..], dy)) in rows.iter().zip(dy.chunks_exact(dim)).enumerate() {
        let scores: Vec<f64> = rows.iter().map(|[_, k, _]| scale * dot(q, k)).collect();
        let p = softmax(&scores, scores.len());
        let mut o = vec![0.0; dim];
        rows.iter().zip(&p).for_each(|([_, _, v], &p)| add(&mut o, p, v));
        let delta = dot(dy, &o);
        let d_score = |j: usize| scale * p[j] * (dot(dy, rows[j][2]) - delta);
        for ((&token, out), d_qkv) in
            chosen.iter().zip(out.chunks_mut(dim)).zip(d_qkv.chunks_mut(3 * dim))
        {
            if token == i {
                out.copy_from_slice(&o);
                for (j, [_, k, _]) in rows.iter().enumerate() {
                    add(&mut d_qkv[..dim], d_score(j), k);
                }
            }
            add(&mut d_qkv[dim..2 * dim], d_score(token), q);
            add(&mut d_qkv[2 * dim..], p[token], dy);
        }
    }
    (out, d_qkv)
}

/// Compares `gradient` with central differences of Σ dy·f around `x`.
pub fn derivative(
    failures: &mut Failures,
    what: &str,
    x: &[f64],
    dy: &[f64],
    gradient: &[f64],
    f: impl Fn(&[f64]) -> Vec<f64>,
) {
    const STEP: f64 = 1e-5;
    let value = |x: &[f64]| -> f64 { f(x).iter().zip(dy).map(|(y, dy)| y * dy).sum() };
    for i in 0..x.len() {
        let mut moved = x.to_vec();
        moved[i] = x[i] + STEP;
        let above = value(&moved);
        moved[i] = x[i] - STEP;
        let slope = (above - value(&moved)) / (2.0 * STEP);
        let close = (slope - gradient[i]).abs() < 1e-7 * (1.0 + slope.abs());
        failures.ensure(close, || format!("{what}[{i}]: {} for {slope}", gradient[i]));
    }
}

#[test]
fn the_gradients_are_the_derivatives() {
    let mut failures = Failures::default();
    let data = |stream, count| wide(&normal(stream, count));
    let [m, d, h] = [3, 4, 5];
    let (x, residual, dy) = (data(1, m * d), data(2, m * d), data(3, m * d));
    let (w1, b1, w2, b2) = (data(4, h * d), data(5, h), data(6, d * h), data(7, d));
    let mlp = Mlp { sizes: [m, d, h], x: &x, w1: &w1, b1: &b1, w2: &w2, b2: &b2 };
    let g = mlp.backward(&dy);
    let f = &mut failures;
    derivative(f, "mlp x", &x, &dy, &g[0], |x| Mlp { x, ..mlp }.forward(&residual));
    derivative(f, "mlp w1", &w1, &dy, &g[1], |w1| Mlp { w1, ..mlp }.forward(&residual));
    derivative(f, "mlp b1", &b1, &dy, &g[2], |b1| Mlp { b1, ..mlp }.forward(&residual));
    derivative(f, "mlp w2", &w2, &dy, &g[3], |w2| Mlp { w2, ..mlp }.forward(&residual));
    derivative(f, "mlp b2", &b2, &dy, &g[4], |b2| Mlp { b2, ..mlp }.forward(&residual));

    let (gamma, beta) = (data(8, d), data(9, d));
    let g = layer_norm_backward(&x, &gamma, 0.01, &dy);
    derivative(f, "norm x", &x, &dy, &g[0], |x| layer_norm(x, &gamma, &beta, 0.01));
    derivative(f, "norm gamma", &gamma, &dy, &g[1], |gamma| layer_norm(&x, gamma, &beta, 0.01));
    derivative(f, "norm beta", &beta, &dy, &g[2], |beta| layer_norm(&x, &gamma, beta, 0.01));

    let g = softmax_backward(&softmax(&x, d), &dy, d);
    derivative(f, "softmax", &x, &dy, &g, |x| softmax(x, d));

    let sizes = [2, 3, 2, 2];
    let (qkv, dy) = (data(10, 2 * 3 * 3 * 4), data(11, 2 * 3 * 4));
    let (_, g) = attention(&qkv, sizes, Some(&dy));
    derivative(f, "attention", &qkv, &dy, &g, |qkv| attention(qkv, sizes, None).0);
    failures.report();
}

#[test]
fn some_tokens_are_those_of_all() {
    let (qkv, dy) = (wide(&normal(1, 5 * 3 * 4)), wide(&normal(2, 5 * 4)));
    let (y, d_qkv) = attention(&qkv, [1, 5, 1, 4], Some(&dy));
    let (some_y, some_d_qkv) = attention_of_tokens(&qkv, 4, &dy, &[1, 4]);
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(close(&some_y[..4], &y[4..8]) && close(&some_y[4..], &y[16..]));
    assert!(close(&some_d_qkv[..12], &d_qkv[12..24]) && close(&some_d_qkv[12..], &d_qkv[48..]));
}

#[test]
fn erf_has_its_tabulated_values() {
    // Abramowitz & Stegun, table 7.1.
    for (x, y) in [(0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)] {
        assert!((erf(x) - y).abs() < 1e-10 && erf(-x) == -erf(x), "{x}");
    }
}
