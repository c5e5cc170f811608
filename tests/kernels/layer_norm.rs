//! LayerNorm.

use webmae::ops::layer_norm;

use crate::bench::{Bench, Failures, Setup, all_setups, normal, sum, wide};
use crate::oracle;

/// Rows and width; the last two have more rows than a GPU sums at once (512).
const SIZES: [[usize; 2]; 11] = [
    [1, 1],
    [7, 2],
    [3, 7],
    [65, 63],
    [7, 65],
    [5, 197],
    [2, 1025],
    [63, 128],
    [197, 33],
    [513, 130],
    [1300, 5],
];

fn check(
    setup: &Setup,
    [rows, dim]: [usize; 2],
    (eps, mean, spread): (f32, f32, f32),
    accumulates: bool,
    failures: &mut Failures,
) {
    let what = |name: &str| format!("{} layer norm {rows}×{dim} eps {eps} {name}", setup.name);
    let x: Vec<f32> = normal(1, rows * dim).iter().map(|x| mean + spread * x).collect();
    let (gamma, beta, dy) = (normal(2, dim), normal(3, dim), normal(4, rows * dim));
    let (old_dx, old_gamma, old_beta) = (normal(5, rows * dim), normal(6, dim), normal(7, dim));
    let mut bench = Bench::new(setup);
    let x_in = if accumulates {
        bench.variable_with_grad("x", &[rows, dim], &x, &old_dx)
    } else {
        bench.variable("x", &[rows, dim], &x)
    };
    let gamma_in = bench.param("gamma", &[dim], &gamma, &old_gamma);
    let beta_in = bench.param("beta", &[dim], &beta, &old_beta);
    let y = layer_norm(&mut bench.rec, x_in, gamma_in, beta_in, eps);
    bench.rec.keep(y, "y");
    bench.backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();

    let [x, gamma, beta, dy] = [&x, &gamma, &beta, &dy].map(|v| wide(v));
    let eps = f64::from(eps);
    // The input's own rounding enters as (x − μ): mean / spread times f32's precision.
    let tolerance = 4e-6 + 2e-7 * f64::from(mean / spread);
    failures.compare(
        &what("y"),
        &run.f32("y"),
        &oracle::layer_norm(&x, &gamma, &beta, eps),
        tolerance,
    );
    let [mut dx, d_gamma, d_beta] = oracle::layer_norm_backward(&x, &gamma, eps, &dy);
    if accumulates {
        dx = sum(&dx, &wide(&old_dx));
    }
    failures.compare(&what("dx"), &run.f32("d x"), &dx, tolerance);
    let d_gamma = sum(&d_gamma, &wide(&old_gamma));
    failures.compare(&what("d gamma"), &run.f32("d gamma"), &d_gamma, tolerance);
    let d_beta = sum(&d_beta, &wide(&old_beta));
    failures.compare(&what("d beta"), &run.f32("d beta"), &d_beta, tolerance);
}

#[test]
fn layer_norms() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        for (i, sizes) in SIZES.into_iter().enumerate() {
            // One or two values have nothing left once normalised: noise against zero.
            let eps = if sizes[1] <= 2 { 0.1 } else { 1e-6 };
            check(&setup, sizes, (eps, 0.5, 2.0), i % 2 == 0, &mut failures);
        }
        // Epsilon as large as the variance; a mean that dwarfs the spread.
        check(&setup, [7, 65], (1.0, 0.0, 1.0), true, &mut failures);
        check(&setup, [7, 65], (1e-6, 1000.0, 1.0), false, &mut failures);
    }
    failures.report();
}

/// Equal values: zero variance. With eps 1e-12 the output is beta and nothing is NaN.
#[test]
fn constant_rows_give_beta() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        let dim = 65;
        let (beta, dy) = (normal(2, dim), normal(3, dim));
        let mut bench = Bench::new(&setup);
        let x = bench.variable("x", &[1, dim], &vec![0.25; dim]);
        let gamma = bench.input("gamma", &[dim], &normal(1, dim));
        let beta_in = bench.input("beta", &[dim], &beta);
        let y = layer_norm(&mut bench.rec, x, gamma, beta_in, 1e-12);
        bench.rec.keep(y, "y");
        bench.backward(y, &dy);
        bench.keep_grad(x, "x");
        let run = bench.run();
        failures.compare(setup.name, &run.f32("y"), &wide(&beta), 1e-6);
        let finite = run.f32("d x").iter().all(|g| g.is_finite());
        failures.ensure(finite, || format!("{}: a gradient is not finite", setup.name));
    }
    failures.report();
}
