//! Ops of classifiers: pooling, softmax, cross entropy, BatchNorm.

use webmae::ops::{self, BatchNorm, Target};

use crate::bench::{Bench, Failures, Setup, all_setups, normal, wide};
use crate::{oracle, oracle_heads};

const TOLERANCE: f64 = 3e-6;

#[test]
fn mean_pools() {
    let mut failures = Failures::default();
    for (setup, (batch, tokens, dim, range)) in all_setups().iter().flat_map(|s| {
        [(1, 1, 1, 0..1), (3, 7, 65, 1..7), (2, 65, 63, 0..1), (5, 197, 7, 1..197), (2, 9, 5, 4..6)]
            .map(|z| (s, z))
    }) {
        let (x, dy) = (normal(1, batch * tokens * dim), normal(2, batch * dim));
        let mut bench = Bench::new(setup);
        let x_in = bench.variable("x", &[batch, tokens, dim], &x);
        let y = ops::mean_pool(&mut bench.rec, x_in, range.clone());
        bench.rec.keep(y, "y");
        bench.backward(y, &dy);
        bench.keep_grad(x_in, "x");
        let run = bench.run();
        let mut expected = vec![0.0; batch * dim];
        let mut d_expected = vec![0.0; x.len()];
        for (b, t, d) in (0..batch).flat_map(|b| {
            let range = range.clone();
            range.flat_map(move |t| (0..dim).map(move |d| (b, t, d)))
        }) {
            let i = (b * tokens + t) * dim + d;
            expected[b * dim + d] += f64::from(x[i]) / range.len() as f64;
            d_expected[i] = f64::from(dy[b * dim + d]) / range.len() as f64;
        }
        let what = |name: &str| format!("{} pool {range:?} of {tokens} {name}", setup.name);
        failures.compare(&what("y"), &run.f32("y"), &expected, TOLERANCE);
        failures.compare(&what("dx"), &run.f32("d x"), &d_expected, TOLERANCE);
    }
    failures.report();
}

fn check_softmax(setup: &Setup, name: &str, dim: usize, x: &[f32], failures: &mut Failures) {
    let rows = x.len() / dim;
    let dy = normal(2, x.len());
    let mut bench = Bench::new(setup);
    let x_in = bench.variable("x", &[rows, dim], x);
    let y = ops::softmax(&mut bench.rec, x_in);
    bench.rec.keep(y, "y");
    bench.backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();
    let expected = oracle::softmax(&wide(x), dim);
    let d_expected = oracle::softmax_backward(&expected, &wide(&dy), dim);
    let what = |part: &str| format!("{} softmax {name} {rows}×{dim} {part}", setup.name);
    failures.compare(&what("y"), &run.f32("y"), &expected, TOLERANCE);
    failures.compare(&what("dx"), &run.f32("d x"), &d_expected, 2.0 * TOLERANCE);
}

#[test]
fn softmaxes() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        for [rows, dim] in [[1, 1], [7, 63], [65, 7], [3, 197], [2, 1030], [129, 2]] {
            check_softmax(&setup, "normal", dim, &normal(1, rows * dim), &mut failures);
        }
        // Masked logits, logits that overflow e^x, a row of masked ones only.
        let dim = 65;
        let masked: Vec<f32> = (0..dim).map(|i| if i % 3 == 0 { 0.5 } else { -3e38 }).collect();
        check_softmax(&setup, "masked", dim, &masked, &mut failures);
        let large: Vec<f32> = (0..dim).map(|i| 1e4 + i as f32).collect();
        check_softmax(&setup, "large", dim, &large, &mut failures);
        let far = vec![-3e38; dim];
        check_softmax(&setup, "all masked", dim, &far, &mut failures);
    }
    failures.report();
}

#[test]
fn cross_entropies() {
    let mut failures = Failures::default();
    for (setup, [rows, classes]) in all_setups()
        .iter()
        .flat_map(|s| [[1, 1], [7, 63], [65, 10], [3, 197], [2, 1030], [197, 2]].map(|z| (s, z)))
    {
        let labels: Vec<u32> = (0..rows).map(|r| (r * 37 % classes) as u32).collect();
        // Not normalised: mixes of two labels that sum to one are the common case.
        let soft: Vec<f32> = normal(3, rows * classes).iter().map(|x| x.abs()).collect();
        for (scale, smoothing) in [(1.0, 0.0), (3.0, 0.1), (3e3, 0.0), (1.0, -1.0)] {
            let x: Vec<f32> = normal(1, rows * classes).iter().map(|x| x * scale).collect();
            let mut bench = Bench::new(setup);
            let x_in = bench.variable("x", &[rows, classes], &x);
            let loss = bench.input("loss", &[1], &[0.5]);
            let target = if smoothing < 0.0 {
                Target::Soft(bench.input("soft", &[rows, classes], &soft))
            } else {
                Target::Labels { labels: bench.ids("labels", &[rows], &labels), smoothing }
            };
            ops::cross_entropy(&mut bench.rec, x_in, target, rows, loss);
            bench.keep_grad(x_in, "x");
            let run = bench.run();
            let targets: Vec<f64> = if smoothing < 0.0 {
                wide(&soft)
            } else {
                let s = f64::from(smoothing);
                let hit = |i: usize| labels[i / classes] as usize == i % classes;
                let of = |i| s / classes as f64 + if hit(i) { 1.0 - s } else { 0.0 };
                (0..rows * classes).map(of).collect()
            };
            let (value, gradient) = oracle_heads::cross_entropy(&wide(&x), &targets, classes);
            let what = |part: &str| {
                format!("{} cross entropy {rows}×{classes} {scale} {smoothing} {part}", setup.name)
            };
            failures.compare(&what("loss"), &run.f32("loss"), &[0.5 + value], TOLERANCE);
            failures.compare(&what("dx"), &run.f32("d x"), &gradient, 2.0 * TOLERANCE);
        }
    }
    failures.report();
}

/// Rows without a class, as tokens without a target are, have neither loss nor gradient; and the
/// sum is divided by another number than that of the rows.
#[test]
fn cross_entropies_of_some_rows() {
    let mut failures = Failures::default();
    let sizes = [[1, 1], [2, 7], [7, 63], [65, 10], [3, 197], [4, 1030], [197, 2]];
    for (setup, [rows, classes]) in all_setups().iter().flat_map(|s| sizes.map(|z| (s, z))) {
        let x = normal(1, rows * classes);
        let label = |r: usize| match r % 3 {
            0 => u32::MAX,
            1 => (r * 37 % classes) as u32,
            _ => classes as u32,
        };
        let labels: Vec<u32> = (0..rows).map(label).collect();
        for count in [1, rows + 5] {
            let mut bench = Bench::new(setup);
            let x_in = bench.variable("x", &[rows, classes], &x);
            let loss = bench.input("loss", &[1], &[0.5]);
            let labels_in = bench.ids("labels", &[rows], &labels);
            let target = Target::Labels { labels: labels_in, smoothing: 0.0 };
            let row_loss = ops::cross_entropy(&mut bench.rec, x_in, target, count, loss);
            bench.rec.keep(row_loss, "row loss");
            bench.keep_grad(x_in, "x");
            let run = bench.run();
            let hit = |i: usize| labels[i / classes] as usize == i % classes;
            let targets: Vec<f64> =
                (0..rows * classes).map(|i| f64::from(u8::from(hit(i)))).collect();
            let share = rows as f64 / count as f64;
            let (value, gradient) = oracle_heads::cross_entropy(&wide(&x), &targets, classes);
            let gradient: Vec<f64> = gradient.iter().map(|g| g * share).collect();
            let row = |r: usize| {
                let row = r * classes..(r + 1) * classes;
                oracle_heads::cross_entropy(&wide(&x[row.clone()]), &targets[row], classes).0
            };
            let losses: Vec<f64> = (0..rows).map(row).collect();
            let what = |part: &str| {
                format!("{} cross entropy {rows}×{classes} / {count} {part}", setup.name)
            };
            failures.compare(&what("loss"), &run.f32("loss"), &[0.5 + share * value], TOLERANCE);
            failures.compare(&what("rows"), &run.f32("row loss"), &losses, TOLERANCE);
            let actual = run.f32("d x");
            failures.compare(&what("dx"), &actual, &gradient, 2.0 * TOLERANCE);
            let rows = actual.chunks(classes).zip(run.f32("row loss")).zip(&labels);
            let moved = rows
                .filter(|&(_, &label)| label as usize >= classes)
                .any(|((gradient, loss), _)| loss != 0.0 || gradient.iter().any(|&g| g != 0.0));
            failures.ensure(!moved, || what("a row without a class counts"));
        }
    }
    failures.report();
}

#[test]
fn batch_norms() {
    const MOMENTUM: f32 = 0.1;
    let mut failures = Failures::default();
    for (setup, [rows, dim]) in
        all_setups().iter().flat_map(|s| [[2, 1], [7, 65], [65, 7], [197, 63]].map(|z| (s, z)))
    {
        let x: Vec<f32> = normal(1, rows * dim).iter().map(|x| 3.0 + 2.0 * x).collect();
        let dy = normal(2, rows * dim);
        let running_mean = normal(3, dim);
        let running_var: Vec<f32> = normal(4, dim).iter().map(|x| 0.5 + x.abs()).collect();
        for (train, eps) in [(true, 1e-6_f32), (true, 0.5), (false, 1e-6)] {
            let mut bench = Bench::new(setup);
            let x_in = bench.variable("x", &[rows, dim], &x);
            let norm = BatchNorm {
                running_mean: bench.input("mean", &[dim], &running_mean),
                running_var: bench.input("var", &[dim], &running_var),
                eps,
                momentum: MOMENTUM,
                train,
            };
            let y = ops::batch_norm(&mut bench.rec, x_in, norm);
            bench.rec.keep(y, "y");
            if train {
                bench.backward(y, &dy);
                bench.keep_grad(x_in, "x");
            }
            let run = bench.run();
            let what =
                |part: &str| format!("{} batch norm {rows}×{dim} {train} {part}", setup.name);
            let (x, eps, m) = (wide(&x), f64::from(eps), f64::from(MOMENTUM));
            let (mut mean, mut var) = (wide(&running_mean), wide(&running_var));
            let mut expected = oracle_heads::batch_norm(&x, dim, eps);
            if train {
                let (means, variances) = oracle_heads::batch_statistics(&x, dim);
                let unbiased = rows as f64 / (rows as f64 - 1.0);
                for d in 0..dim {
                    mean[d] = (1.0 - m) * mean[d] + m * means[d];
                    var[d] = (1.0 - m) * var[d] + m * unbiased * variances[d];
                }
                let dx = oracle_heads::batch_norm_backward(&x, dim, eps, &wide(&dy));
                // Two rows are ±1 exactly: the gradient is a difference of nearly equal terms.
                let tolerance = if rows == 2 { 1e-2 } else { 1e-5 };
                failures.compare(&what("dx"), &run.f32("d x"), &dx, tolerance);
            } else {
                let of = |i: usize| (x[i] - mean[i % dim]) / (var[i % dim] + eps).sqrt();
                expected = (0..x.len()).map(of).collect();
            }
            failures.compare(&what("y"), &run.f32("y"), &expected, 1e-5);
            failures.compare(&what("mean"), &run.f32("mean"), &mean, TOLERANCE);
            failures.compare(&what("var"), &run.f32("var"), &var, TOLERANCE);
        }
    }
    failures.report();
}
