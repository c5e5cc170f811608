//! Cross entropy with its gradient.

use webmae::ops::{self, Target};

use crate::bench::{Bench, Failures, all_setups, normal, wide};
use crate::oracle_heads;

const TOLERANCE: f64 = 3e-6;

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
