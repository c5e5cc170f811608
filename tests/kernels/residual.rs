//! Residual connections whose branch is dropped for some samples.

use webmae::ops::{DropPath, drop_path};

use crate::bench::{Bench, Failures, Setup, normal, setups, sum, wide};

/// Which inputs have a gradient, and of which kind.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Inputs {
    /// Two that have none yet.
    Apart,
    /// The shortcut has one already.
    Added,
    /// One tensor for both.
    Shared,
    /// A frozen shortcut, as in front of the first block that is trained.
    Branch,
    /// A frozen branch.
    Shortcut,
}

const CONNECTIONS: usize = 3;

/// `[connections, B]`: 0 or 1 / (share kept), other shares for every connection.
fn scales(batch: usize) -> Vec<f32> {
    let scale = |i: usize| {
        let (connection, sample) = (i / batch, i % batch);
        let dropped = (connection + sample) % 3 == 1;
        if dropped { 0.0 } else { 1.0 / (1.0 - 0.15 * connection as f32) }
    };
    (0..CONNECTIONS * batch).map(scale).collect()
}

fn check(
    setup: &Setup,
    shape: &[usize],
    connection: usize,
    inputs: Inputs,
    failures: &mut Failures,
) {
    let (batch, n) = (shape[0], shape.iter().product());
    let scales = scales(batch);
    let (a, b, old, dy) = (normal(1, n), normal(2, n), normal(3, n), normal(4, n));
    let mut bench = Bench::new(setup);
    let shortcut = match inputs {
        Inputs::Branch => bench.input("a", shape, &a),
        Inputs::Added => bench.variable_with_grad("a", shape, &a, &old),
        _ => bench.variable("a", shape, &a),
    };
    let branch = match inputs {
        Inputs::Shared => shortcut,
        Inputs::Shortcut => bench.input("b", shape, &b),
        _ => bench.variable("b", shape, &b),
    };
    let drop =
        DropPath { scales: bench.input("scales", &[CONNECTIONS, batch], &scales), connection };
    let y = drop_path(&mut bench.rec, shortcut, branch, drop);
    bench.rec.keep(y, "y");
    bench.backward(y, &dy);
    let kernels = bench.rec.kernels().filter(|kernel| kernel.shader == "residual").count();
    let gradients = [shortcut, branch].map(|tensor| bench.rec.grad(tensor).is_some());
    if inputs == Inputs::Shared {
        bench.keep_grad(shortcut, "a");
    } else if inputs != Inputs::Shortcut {
        bench.keep_grad(branch, "b");
    }
    let run = bench.run();

    let what =
        |part: &str| format!("{} {shape:?} connection {connection} {inputs:?} {part}", setup.name);
    let [a, b, old, dy] = [&a, &b, &old, &dy].map(|v| wide(v));
    let b = if inputs == Inputs::Shared { &a } else { &b };
    let scaled = |values: &[f64]| -> Vec<f64> {
        let scale = |i: usize| f64::from(scales[connection * batch + i / (n / batch)]);
        values.iter().enumerate().map(|(i, v)| scale(i) * v).collect()
    };
    failures.compare(&what("y"), &run.f32("y"), &sum(&a, &scaled(b)), 2e-7);
    let (d_a, d_b) = match inputs {
        // The shortcut's gradient is the output's own tensor.
        Inputs::Apart => (Some(("dy", dy.clone())), Some(scaled(&dy))),
        Inputs::Shortcut => (Some(("dy", dy.clone())), None),
        Inputs::Added => (Some(("d a", sum(&old, &dy))), Some(scaled(&dy))),
        Inputs::Shared => (Some(("d a", sum(&dy, &scaled(&dy)))), None),
        Inputs::Branch => (None, Some(scaled(&dy))),
    };
    if let Some((name, expected)) = d_a {
        failures.compare(&what("d shortcut"), &run.f32(name), &expected, 2e-7);
    }
    if let Some(expected) = d_b {
        failures.compare(&what("d branch"), &run.f32("d b"), &expected, 1e-7);
    }
    // What is frozen takes neither memory nor work.
    let wanted = [inputs != Inputs::Branch, inputs != Inputs::Shortcut];
    failures.ensure(gradients == wanted, || what(&format!("gradients {gradients:?}")));
    let wanted = if inputs == Inputs::Shortcut { 1 } else { 2 };
    failures.ensure(kernels == wanted, || what(&format!("{kernels} kernels")));
}

#[test]
fn drop_paths() {
    let mut failures = Failures::default();
    let all = [Inputs::Apart, Inputs::Added, Inputs::Shared, Inputs::Branch, Inputs::Shortcut];
    for setup in setups() {
        let shapes: [&[usize]; 6] =
            [&[1, 1], &[7, 63], &[3, 7, 65], &[2, 65, 63], &[65, 1, 1], &[197, 3, 7]];
        for (i, shape) in shapes.into_iter().enumerate() {
            for (j, inputs) in all.into_iter().enumerate() {
                check(&setup, shape, (i + j) % CONNECTIONS, inputs, &mut failures);
            }
        }
    }
    failures.report();
}
