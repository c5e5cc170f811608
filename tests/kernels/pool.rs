//! Mean pooling, forward and backward.

use webmae::ops;

use crate::bench::{Bench, Failures, all_setups, normal};

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
