//! Softmax, forward and backward.

use webmae::ops;

use crate::bench::{Bench, Failures, Setup, all_setups, normal, wide};
use crate::oracle;

const TOLERANCE: f64 = 3e-6;

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
