//! The kernels of mixed precision: operands in f16, arithmetic in f32, results rounded once. Inputs are values
//! that f16 has, so that f64 code sees the same ones. Gradients of parameters are f32 throughout, and as
//! exact as without f16.

use webmae::kernels::{Precision, Products, Tiling};
use webmae::ops::{
    self, BatchNorm, DropPath, Flatten, Layout, MaskIds, assemble_tokens, token_maps,
};

use crate::attention;
use crate::bench::{Bench, Failures, Setup, all_setups, halves, normal, setups, sum, wide};
use crate::oracle::{self, Mlp, linear, linear_backward};
use crate::oracle_heads;
use crate::patchify::config;

/// Rounding to f16: half a unit in the last of 11 bits, 2⁻¹¹ of the value.
const ROUNDING: f64 = 1.0 / 2048.0;
/// f32 sums of a few hundred products.
const EXACT: f64 = 4e-6;
/// One rounding behind them.
const ONCE: f64 = ROUNDING + EXACT;

/// Normal values that f16 has.
fn half_normal(stream: u32, count: usize) -> Vec<f32> {
    halves(&normal(stream, count))
}

/// Sizes for the tiled, the direct and the textured kernels.
#[test]
fn linear_layers() {
    let mut failures = Failures::default();
    let sizes = [[1, 1, 1], [7, 65, 63], [65, 7, 9], [68, 48, 64], [64, 68, 65], [13, 8, 20]];
    for (setup, (i, sizes)) in
        setups().iter().flat_map(|s| sizes.into_iter().enumerate().map(move |z| (s, z)))
    {
        check_linear(setup, sizes, i % 2 == 0, &mut failures);
    }
    failures.report();
}

/// Every blocking of the GPU's kernel, with as many rows as workgroups need to share a weight gradient's sum.
#[test]
fn blocked_linear_layers() {
    let mut failures = Failures::default();
    for (number, tiling) in Tiling::ALL.into_iter().enumerate() {
        if matches!(tiling, Tiling::Blocked(_)) {
            let setup = Setup { products: Products::uniform(number), ..setups()[1].clone() };
            check_linear(&setup, [600, 20, 12], number % 2 == 0, &mut failures);
        }
    }
    failures.report();
}

/// `x·wᵀ + b + residual`, whose input's gradient is set or added to what is there.
pub fn check_linear(
    setup: &Setup,
    sizes @ [m, n, k]: [usize; 3],
    accumulates: bool,
    failures: &mut Failures,
) {
    let what = |name: &str| format!("{} linear in f16 {sizes:?} {name}", setup.name);
    let (x, w, b) = (half_normal(1, m * k), half_normal(2, n * k), normal(3, n));
    let (r, dy, old_dx) = (half_normal(4, m * n), half_normal(5, m * n), half_normal(6, m * k));
    let (old_dw, old_db) = (normal(7, n * k), normal(8, n));
    let mut bench = Bench::new(setup);
    let x_in = bench.half_variable("x", &[m, k], &x);
    if accumulates {
        let old = bench.half("d x", &[m, k], &old_dx);
        bench.rec.set_grad(x_in, old);
    }
    let w_in = bench.half_param("w", &[n, k], &w, &old_dw);
    let b_in = bench.param("b", &[n], &b, &old_db);
    let r_in = bench.half("r", &[m, n], &r);
    let y = ops::linear_residual(&mut bench.rec, x_in, w_in, Some(b_in), r_in);
    bench.rec.keep(y, "y");
    bench.half_backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();

    let [x, w, b, r, dy] = [&x, &w, &b, &r, &dy].map(|v| wide(v));
    let expected = sum(&linear(&x, &w, Some(&b), sizes), &r);
    failures.compare(&what("y"), &run.halves("y", m * n), &expected, ONCE);
    let [mut dx, dw, db] = linear_backward(&x, &w, &dy, sizes);
    if accumulates {
        dx = sum(&dx, &wide(&old_dx));
    }
    failures.compare(&what("dx"), &run.halves("d x", m * k), &dx, ONCE);
    failures.compare(&what("dw"), &run.f32("d w"), &sum(&dw, &wide(&old_dw)), EXACT);
    failures.compare(&what("db"), &run.f32("d b"), &sum(&db, &wide(&old_db)), EXACT);
}

#[test]
fn mlps() {
    let mut failures = Failures::default();
    for (setup, sizes) in setups().iter().flat_map(|s| [[7, 9, 65], [68, 16, 64]].map(|z| (s, z))) {
        check_mlp(setup, sizes, &mut failures);
    }
    failures.report();
}

/// An MLP with a residual connection, of `[rows, width, hidden width]`.
pub fn check_mlp(setup: &Setup, sizes: [usize; 3], failures: &mut Failures) {
    let [m, d, h] = sizes;
    let what = |name: &str| format!("{} mlp in f16 {sizes:?} {name}", setup.name);
    let (x, r, dy) = (half_normal(1, m * d), half_normal(2, m * d), half_normal(3, m * d));
    let (w1, w2) = (half_normal(4, h * d), half_normal(6, d * h));
    let w1: Vec<f32> = halves(&w1.iter().map(|w| w / (d as f32).sqrt()).collect::<Vec<_>>());
    let (b1, b2) = (normal(5, h), normal(7, d));
    let zeros = vec![0.0; d * h];
    let mut bench = Bench::new(setup);
    let x_in = bench.half_variable("x", &[m, d], &x);
    let r_in = bench.half("r", &[m, d], &r);
    let w1_in = bench.half_param("w1", &[h, d], &w1, &zeros);
    let b1_in = bench.param("b1", &[h], &b1, &zeros[..h]);
    let w2_in = bench.half_param("w2", &[d, h], &w2, &zeros);
    let b2_in = bench.param("b2", &[d], &b2, &zeros[..d]);
    let y = ops::mlp(&mut bench.rec, x_in, [w1_in, b1_in], [w2_in, b2_in], Some(r_in), None);
    bench.rec.keep(y, "y");
    bench.half_backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();

    let [x, r, dy, w1, b1, w2, b2] = [&x, &r, &dy, &w1, &b1, &w2, &b2].map(|v| wide(v));
    let oracle = Mlp { sizes, x: &x, w1: &w1, b1: &b1, w2: &w2, b2: &b2 };
    // The hidden layer is rounded on the way, its pre-activation and its gradient too.
    let rounded = 4.0 * ROUNDING;
    failures.compare(&what("y"), &run.halves("y", m * d), &oracle.forward(&r), rounded);
    let [dx, dw1, db1, dw2, db2] = oracle.backward(&dy);
    failures.compare(&what("dx"), &run.halves("d x", m * d), &dx, rounded);
    let gradients = [
        ("d w1", dw1, rounded),
        ("d b1", db1, rounded),
        ("d w2", dw2, rounded),
        ("d b2", db2, EXACT),
    ];
    for (name, expected, tolerance) in gradients {
        failures.compare(&what(name), &run.f32(name), &expected, tolerance);
    }
}

#[test]
fn layer_norms() {
    let mut failures = Failures::default();
    for (setup, [rows, dim]) in
        all_setups().iter().flat_map(|s| [[3, 7], [65, 33], [10, 64]].map(|z| (s, z)))
    {
        let what = |name: &str| format!("{} layer norm in f16 {rows}×{dim} {name}", setup.name);
        // A mean that dwarfs the spread: sums in f16 would lose it.
        let shifted: Vec<f32> = normal(1, rows * dim).iter().map(|x| 100.0 + 4.0 * x).collect();
        let (x, dy, old) =
            (halves(&shifted), half_normal(4, rows * dim), half_normal(5, rows * dim));
        let (gamma, beta) = (normal(2, dim), normal(3, dim));
        let mut bench = Bench::new(setup);
        let x_in = bench.half_variable("x", &[rows, dim], &x);
        let old_in = bench.half("d x", &[rows, dim], &old);
        bench.rec.set_grad(x_in, old_in);
        let zeros = vec![0.0; dim];
        let gamma_in = bench.param("gamma", &[dim], &gamma, &zeros);
        let beta_in = bench.param("beta", &[dim], &beta, &zeros);
        let y = ops::layer_norm(&mut bench.rec, x_in, gamma_in, beta_in, 1e-6);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        bench.keep_grad(x_in, "x");
        let run = bench.run();

        let [x, gamma, beta, dy, old] = [&x, &gamma, &beta, &dy, &old].map(|v| wide(v));
        // x − μ in f32, where μ is 25 times the spread.
        let exact = EXACT + 25.0 * 2e-7;
        let expected = oracle::layer_norm(&x, &gamma, &beta, 1e-6);
        failures.compare(&what("y"), &run.halves("y", rows * dim), &expected, ROUNDING + exact);
        let [dx, d_gamma, d_beta] = oracle::layer_norm_backward(&x, &gamma, 1e-6, &dy);
        let dx = sum(&dx, &old);
        failures.compare(&what("dx"), &run.halves("d x", rows * dim), &dx, ROUNDING + exact);
        failures.compare(&what("d gamma"), &run.f32("d gamma"), &d_gamma, exact);
        failures.compare(&what("d beta"), &run.f32("d beta"), &d_beta, exact);
    }
    failures.report();
}

/// Heads of whole vectors and others; an odd number of rows, whose statistics no texture holds.
#[test]
fn attentions() {
    let mut failures = Failures::default();
    for (setup, sizes) in
        setups().iter().flat_map(|s| [[1, 7, 3, 5], [2, 17, 2, 8], [1, 9, 1, 4]].map(|z| (s, z)))
    {
        let values: usize = sizes.iter().product();
        let (qkv, dy) = (half_normal(1, 3 * values), half_normal(2, values));
        let [half_y, half_d_qkv] = attention::run(setup, Precision::F16, sizes, &qkv, &dy, None);
        let (y, d_qkv) = oracle::attention(&wide(&qkv), sizes, Some(&wide(&dy)));
        let what = |name: &str| format!("{} attention in f16 {sizes:?} {name}", setup.name);
        failures.compare(&what("y"), &half_y, &y, ONCE);
        // The backward pass reads the rounded output.
        failures.compare(&what("d qkv"), &half_d_qkv, &d_qkv, 2.0 * ONCE);
    }
    failures.report();
}

/// Residual connections, also of a branch that is dropped for some samples; pooling.
#[test]
fn residuals_and_pooling() {
    let mut failures = Failures::default();
    for setup in setups() {
        let what = |name: &str| format!("{} {name} in f16", setup.name);
        let n = 65;
        let (a, b, old, dy) =
            (half_normal(1, n), half_normal(2, n), half_normal(3, n), half_normal(4, n));
        let mut bench = Bench::new(&setup);
        let a_in = bench.half_variable("a", &[n], &a);
        let old_in = bench.half("d a", &[n], &old);
        bench.rec.set_grad(a_in, old_in);
        let b_in = bench.half("b", &[n], &b);
        let y = ops::residual(&mut bench.rec, a_in, b_in);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        let run = bench.run();
        let [a, b, old, dy] = [&a, &b, &old, &dy].map(|v| wide(v));
        failures.compare(&what("residual"), &run.halves("y", n), &sum(&a, &b), ONCE);
        failures.compare(&what("residual d a"), &run.halves("d a", n), &sum(&old, &dy), ONCE);

        let shape = [3, 7];
        let (a, b, dy) = (half_normal(5, 21), half_normal(6, 21), half_normal(7, 21));
        let scales = [0.0, 1.25, 0.7];
        let mut bench = Bench::new(&setup);
        let a_in = bench.half_variable("a", &shape, &a);
        let b_in = bench.half_variable("b", &shape, &b);
        let scales_in = bench.input("scales", &[1, 3], &scales);
        let drop = DropPath { scales: scales_in, connection: 0 };
        let y = ops::drop_path(&mut bench.rec, a_in, b_in, drop);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        bench.keep_grad(b_in, "b");
        let run = bench.run();
        let scaled = |values: &[f32]| -> Vec<f64> {
            let value = |(i, &x): (usize, &f32)| f64::from(x) * f64::from(scales[i / 7]);
            values.iter().enumerate().map(value).collect()
        };
        let y = sum(&wide(&a), &scaled(&b));
        failures.compare(&what("drop path"), &run.halves("y", 21), &y, ONCE);
        failures.compare(&what("drop path d b"), &run.halves("d b", 21), &scaled(&dy), ONCE);

        let [batch, tokens, dim] = [2, 9, 5];
        let (x, dy) = (half_normal(8, batch * tokens * dim), half_normal(9, batch * dim));
        let mut bench = Bench::new(&setup);
        let x_in = bench.half_variable("x", &[batch, tokens, dim], &x);
        let y = ops::mean_pool(&mut bench.rec, x_in, 1..9);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        bench.keep_grad(x_in, "x");
        let run = bench.run();
        let (mut y, mut dx) = (vec![0.0; batch * dim], vec![0.0; x.len()]);
        for (i, x) in x.iter().enumerate() {
            let (b, t, d) = (i / (tokens * dim), i / dim % tokens, i % dim);
            if t > 0 {
                y[b * dim + d] += f64::from(*x) / 8.0;
                dx[i] = f64::from(dy[b * dim + d]) / 8.0;
            }
        }
        failures.compare(&what("pool"), &run.halves("y", y.len()), &y, ONCE);
        failures.compare(&what("pool dx"), &run.halves("d x", dx.len()), &dx, ONCE);
    }
    failures.report();
}

/// Softmax and BatchNorm, whose statistics stay in f32.
#[test]
fn softmax_and_batch_norm() {
    let mut failures = Failures::default();
    let [rows, dim] = [9, 13];
    for setup in all_setups() {
        let what = |name: &str| format!("{} {name} in f16", setup.name);
        let (x, dy) = (half_normal(1, rows * dim), half_normal(2, rows * dim));
        let mut bench = Bench::new(&setup);
        let x_in = bench.half_variable("x", &[rows, dim], &x);
        let y = ops::softmax(&mut bench.rec, x_in);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        bench.keep_grad(x_in, "x");
        let run = bench.run();
        let expected = oracle::softmax(&wide(&x), dim);
        failures.compare(&what("softmax"), &run.halves("y", x.len()), &expected, ONCE);
        let dx = oracle::softmax_backward(&expected, &wide(&dy), dim);
        failures.compare(&what("softmax dx"), &run.halves("d x", x.len()), &dx, 3.0 * ONCE);

        let mut bench = Bench::new(&setup);
        let x_in = bench.half_variable("x", &[rows, dim], &x);
        let norm = BatchNorm {
            running_mean: bench.input("mean", &[dim], &vec![0.0; dim]),
            running_var: bench.input("var", &[dim], &vec![1.0; dim]),
            eps: 1e-6,
            momentum: 1.0,
            train: true,
        };
        let y = ops::batch_norm(&mut bench.rec, x_in, norm);
        bench.rec.keep(y, "y");
        bench.half_backward(y, &dy);
        bench.keep_grad(x_in, "x");
        let run = bench.run();
        let expected = oracle_heads::batch_norm(&wide(&x), dim, 1e-6);
        failures.compare(&what("batch norm"), &run.halves("y", x.len()), &expected, ONCE);
        let (means, _) = oracle_heads::batch_statistics(&wide(&x), dim);
        failures.compare(&what("running mean"), &run.f32("mean"), &means, EXACT);
        let dx = oracle_heads::batch_norm_backward(&wide(&x), dim, 1e-6, &wide(&dy));
        failures.compare(&what("batch norm dx"), &run.halves("d x", x.len()), &dx, 3.0 * ONCE);
    }
    failures.report();
}

/// Patches of f32 images become f16; tokens are put together from them and from parameters in f32.
#[test]
fn patches_and_tokens() {
    let mut failures = Failures::default();
    let config = config([3, 3], [2, 2], 3);
    let (patches, p, dim) = (9, 12, 6);
    for setup in setups() {
        let what = |name: &str| format!("{} {name} in f16", setup.name);
        let images = normal(1, config.image_len());
        let mut bench = Bench::new(&setup);
        let input = bench.input("images", &[1, 3, 6, 6], &images);
        let flat = Flatten::ChannelLast;
        let out = ops::patchify(&mut bench.rec, &config, input, flat, Precision::F16, None);
        bench.rec.keep(out, "patches");
        let order: Vec<u32> = (0..patches as u32).rev().collect();
        let order = bench.ids("order", &[1, patches], &order);
        let ids = MaskIds { shuffle: order, restore: order };
        let (keep, rows) = (config.len_keep(), config.position_rows());
        let extents = [1 + keep, keep];
        let maps = token_maps(&mut bench.rec, &config, ids, Layout::Shuffled, extents, false, 1);
        let given = half_normal(2, keep * dim);
        let (cls, table) = (normal(3, dim), normal(4, rows * dim));
        let dy = half_normal(5, (1 + keep) * dim);
        let given_in = bench.half_variable("given", &[1, keep, dim], &given);
        let cls_in = bench.param("cls", &[1, 1, dim], &cls, &vec![0.0; dim]);
        let table_in = bench.param("table", &[1, rows, dim], &table, &vec![0.0; rows * dim]);
        let tokens = assemble_tokens(&mut bench.rec, maps, given_in, Some(cls_in), None, table_in);
        bench.rec.keep(tokens, "tokens");
        bench.half_backward(tokens, &dy);
        bench.keep_grad(given_in, "given");
        let run = bench.run();

        let expected = wide(&oracle_heads::patchify(&config, &images, flat));
        failures.compare(&what("patches"), &run.halves("patches", patches * p), &expected, ONCE);
        // Token t > 0 is given row t − 1, of the patch that the order has in that place.
        let row = |t: usize| if t == 0 { 0 } else { 1 + patches - t };
        let (mut expected, mut d_table) = (Vec::new(), vec![0.0; rows * dim]);
        for i in 0..(1 + keep) * dim {
            let (t, d) = (i / dim, i % dim);
            let source = if t == 0 { cls[d] } else { given[i - dim] };
            expected.push(f64::from(source) + f64::from(table[row(t) * dim + d]));
            d_table[row(t) * dim + d] = f64::from(dy[i]);
        }
        failures.compare(&what("tokens"), &run.halves("tokens", dy.len()), &expected, ONCE);
        failures.equal(&what("d given"), &run.halves("d given", keep * dim), &dy[dim..]);
        failures.equal(&what("d cls"), &run.f32("d cls"), &dy[..dim]);
        failures.compare(&what("d table"), &run.f32("d table"), &d_table, EXACT);
    }
    failures.report();
}

/// What f16 cannot hold becomes infinite, not its largest number, by which nobody would notice.
#[test]
fn overflow_is_infinite() {
    let mut failures = Failures::default();
    let terms = [65_504.0, 16.0, 15.0, -16.0, f32::NAN, 2.0];
    for setup in setups() {
        let mut bench = Bench::new(&setup);
        let a = bench.half("a", &[6], &[65_504.0, 65_504.0, 65_504.0, -65_504.0, 1.0, 1.0]);
        let b = bench.half("b", &[6], &terms);
        let y = ops::residual(&mut bench.rec, a, b);
        bench.rec.keep(y, "y");
        let y = bench.run().halves("y", 6);
        let finite: Vec<bool> = y.iter().map(|y| y.is_finite()).collect();
        let what = format!("{} overflow {y:?}", setup.name);
        failures.equal(&what, &finite, &[false, false, true, false, false, true]);
        failures.equal(&what, &[y[2], y[5]], &[65_504.0, 3.0]);
    }
    failures.report();
}

/// A kernel has no variant for tensors of both kinds where it computes on one.
#[test]
#[should_panic(expected = "residual does not take b in F32 as its b")]
fn mixtures_are_refused() {
    let mut bench = Bench::new(&setups()[0]);
    let a = bench.half("a", &[4], &[0.0; 4]);
    let b = bench.input("b", &[4], &[0.0; 4]);
    ops::residual(&mut bench.rec, a, b);
}
