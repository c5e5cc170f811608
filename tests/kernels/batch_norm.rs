//! BatchNorm without affine, forward and backward.

use webmae::ops::{self, BatchNorm};

use crate::bench::{Bench, Failures, all_setups, normal, wide};
use crate::oracle_heads;

const TOLERANCE: f64 = 3e-6;

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

/// A batch that overflows is one whose step is skipped: of the features at fault nothing is learned.
#[test]
fn statistics_that_are_not_finite_update_nothing() {
    const DIM: usize = 5;
    let mut failures = Failures::default();
    for setup in &all_setups() {
        // A good feature, NaN, infinity, values whose squares overflow, and whose sum does.
        let x: Vec<f32> =
            [[1.0, f32::NAN, f32::INFINITY, 1e20, 3e38], [3.0, 1.0, 1.0, -1e20, 3e38]].concat();
        let mut bench = Bench::new(setup);
        let x_in = bench.variable("x", &[2, DIM], &x);
        let norm = BatchNorm {
            running_mean: bench.input("mean", &[DIM], &[0.5; DIM]),
            running_var: bench.input("var", &[DIM], &[1.5; DIM]),
            eps: 1e-6,
            momentum: 0.1,
            train: true,
        };
        let y = ops::batch_norm(&mut bench.rec, x_in, norm);
        bench.rec.keep(y, "y");
        let run = bench.run();
        let what = |part: &str| format!("{} batch norm of what overflows: {part}", setup.name);
        let mean = [0.65, 0.5, 0.5, 0.5, 0.5];
        failures.compare(&what("mean"), &run.f32("mean"), &mean, TOLERANCE);
        failures.compare(&what("var"), &run.f32("var"), &[1.55, 1.5, 1.5, 1.5, 1.5], TOLERANCE);
    }
    failures.report();
}
