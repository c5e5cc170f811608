//! Linear layers, residual connections and the MLP.

use webmae::kernels::{
    Blocking, Division, Precision, ProductLayout, ProductShape, Products, Tiling,
};
use webmae::ops;

use crate::bench::{Bench, Failures, Setup, all_setups, normal, setups, sum, wide};
use crate::oracle::{Mlp, gelu, linear, linear_backward};

/// f32 sums of at most 600 products against their largest result.
const TOLERANCE: f64 = 3e-6;

/// Rows, outputs, inputs: awkward ones, then one past and exactly at the tiles' edges, then the
/// models' own.
const SIZES: [[usize; 3]; 16] = [
    [1, 1, 1],
    [7, 1, 65],
    [1, 197, 63],
    [65, 7, 1],
    [63, 65, 7],
    [197, 65, 129],
    [33, 129, 17],
    [129, 9, 257],
    [64, 64, 64],
    [128, 64, 32],
    [65, 64, 64],
    [64, 68, 65],
    [68, 192, 48],
    [100, 48, 192],
    // More rows than a GPU sums at once, the last also in several parts of a weight's gradient.
    [700, 70, 3],
    [1300, 5, 12],
];

#[test]
fn linear_layers() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        for (i, sizes) in SIZES.into_iter().enumerate() {
            check_linear(&setup, sizes, i % 2 == 0, i % 3 != 1, i % 3 == 0, &mut failures);
        }
    }
    failures.report();
}

/// Every blocking, also where workgroups share a weight gradient's sum over the rows; with the shaders' own checks one
/// of either kind, as what they index does not depend on the tile.
#[test]
fn blocked_products() {
    let mut failures = Failures::default();
    let direct = Blocking::ALL.iter().position(|blocking| blocking.buffers == 0).expect("one");
    for setup in setups().into_iter().filter(|setup| !setup.is_cpu()) {
        for number in 0..Blocking::ALL.len() {
            if !setup.checked || [Tiling::MIDDLING, direct].contains(&number) {
                let setup = Setup { products: Products::uniform(number), ..setup.clone() };
                for sizes in TILES {
                    // One kernel a layout: endings are the same for all tiles.
                    check_linear(&setup, sizes, true, false, false, &mut failures);
                }
            }
        }
    }
    failures.report();
}

/// Products of either pass whose sums workgroups share, with every epilogue.
#[test]
fn shared_sums() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        for (i, sizes @ [m, n, k]) in
            [[9, 12, 70], [66, 132, 100], [5, 7, 61]].into_iter().enumerate()
        {
            let mut products = Products::default();
            for (layout, sizes) in [
                (ProductLayout::Nt, sizes),
                (ProductLayout::Nn, [m, k, n]),
                (ProductLayout::Tn, [n, k, m]),
            ] {
                let shape = ProductShape::new(Precision::F32, layout, sizes);
                products.choose(shape, Division { tiling: i, parts: 2 + i });
            }
            let setup = Setup { products, ..setup.clone() };
            for flags in 0..4 {
                check_linear(&setup, sizes, flags % 2 == 0, flags > 1, flags > 1, &mut failures);
            }
        }
        let sizes @ [m, d, h] = [20, 48, 64];
        let mut products = Products::default();
        for sizes in [[m, h, d], [m, d, h]] {
            for layout in [ProductLayout::Nt, ProductLayout::Nn] {
                let shape = ProductShape::new(Precision::F32, layout, sizes);
                products.choose(shape, Division { tiling: 0, parts: 3 });
            }
        }
        check_mlp(&Setup { products, ..setup }, sizes, &mut failures);
    }
    failures.report();
}

/// Fewer rows and columns than a tile, its edges crossed, and rows enough for two parts.
const TILES: [[usize; 3]; 4] = [[1, 4, 4], [129, 68, 36], [66, 132, 20], [600, 20, 12]];

/// `x·wᵀ (+ b) (+ residual)`; the input's gradient set, or added to what is there.
pub fn check_linear(
    setup: &Setup,
    sizes @ [m, n, k]: [usize; 3],
    has_bias: bool,
    has_residual: bool,
    accumulates: bool,
    failures: &mut Failures,
) {
    let what = |name: &str| format!("{} linear {sizes:?} {name}", setup.name);
    let (x, w, b) = (normal(1, m * k), normal(2, n * k), normal(3, n));
    let (r, dy) = (normal(4, m * n), normal(5, m * n));
    let (old_dx, old_dw, old_db) = (normal(6, m * k), normal(7, n * k), normal(8, n));
    let mut bench = Bench::new(setup);
    let x_in = if accumulates {
        bench.variable_with_grad("x", &[m, k], &x, &old_dx)
    } else {
        bench.variable("x", &[m, k], &x)
    };
    let w_in = bench.param("w", &[n, k], &w, &old_dw);
    let b_in = has_bias.then(|| bench.param("b", &[n], &b, &old_db));
    let r_in = bench.variable_with_grad("r", &[m, n], &r, &dy);
    let y = if has_residual {
        ops::linear_residual(&mut bench.rec, x_in, w_in, b_in, r_in)
    } else {
        ops::linear(&mut bench.rec, x_in, w_in, b_in)
    };
    bench.rec.keep(y, "y");
    bench.backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();

    let [x, w, b, r, dy] = [&x, &w, &b, &r, &dy].map(|v| wide(v));
    let mut expected = linear(&x, &w, has_bias.then_some(&b[..]), sizes);
    if has_residual {
        expected = sum(&expected, &r);
        failures.compare(&what("d residual"), &run.f32("d r"), &sum(&dy, &dy), TOLERANCE);
    }
    failures.compare(&what("y"), &run.f32("y"), &expected, TOLERANCE);
    let [mut dx, dw, db] = linear_backward(&x, &w, &dy, sizes);
    if accumulates {
        dx = sum(&dx, &wide(&old_dx));
    }
    failures.compare(&what("dx"), &run.f32("d x"), &dx, TOLERANCE);
    failures.compare(&what("dw"), &run.f32("d w"), &sum(&dw, &wide(&old_dw)), TOLERANCE);
    if has_bias {
        failures.compare(&what("db"), &run.f32("d b"), &sum(&db, &wide(&old_db)), TOLERANCE);
    }
}

/// Rows of a basis, weighted and summed, plus an offset.
#[test]
fn combinations() {
    let mut failures = Failures::default();
    for (setup, sizes @ [m, n, k]) in setups().iter().flat_map(|s| SIZES.map(|z| (s, z))) {
        let (x, basis, offset) = (normal(1, m * k), normal(2, k * n), normal(3, n));
        let mut bench = Bench::new(setup);
        let x_in = bench.input("x", &[1, m, k], &x);
        let basis_in = bench.input("basis", &[k, n], &basis);
        let offset_in = bench.input("offset", &[n], &offset);
        let y = ops::combine(&mut bench.rec, x_in, basis_in, offset_in);
        failures.equal("shape", bench.rec.shape(y), &[1, m, n]);
        bench.rec.keep(y, "y");
        let run = bench.run();
        let transposed: Vec<f32> = (0..n * k).map(|i| basis[i % k * n + i / k]).collect();
        let expected = linear(&wide(&x), &wide(&transposed), Some(&wide(&offset)), sizes);
        let what = format!("{} combination {sizes:?}", setup.name);
        failures.compare(&what, &run.f32("y"), &expected, TOLERANCE);
    }
    failures.report();
}

#[test]
fn mlps() {
    let mut failures = Failures::default();
    for (setup, sizes) in all_setups().iter().flat_map(|s| {
        [[1, 1, 1], [7, 63, 65], [65, 7, 197], [64, 16, 64], [68, 48, 192]].map(|z| (s, z))
    }) {
        check_mlp(setup, sizes, &mut failures);
    }
    failures.report();
}

/// An MLP with a residual connection, of `[rows, width, hidden width]`.
pub fn check_mlp(setup: &Setup, sizes: [usize; 3], failures: &mut Failures) {
    let [m, d, h] = sizes;
    let what = |name: &str| format!("{} mlp {sizes:?} {name}", setup.name);
    let shrink =
        |values: Vec<f32>| -> Vec<f32> { values.iter().map(|v| v / (d as f32).sqrt()).collect() };
    let (x, r, dy) = (normal(1, m * d), normal(2, m * d), normal(3, m * d));
    // Pre-activations of about ±3: both ends of GELU and its bend.
    let (w1, b1) = (shrink(normal(4, h * d)), normal(5, h));
    let (w2, b2) = (normal(6, d * h), normal(7, d));
    let mut bench = Bench::new(setup);
    let x_in = bench.variable("x", &[m, d], &x);
    let r_in = bench.variable("r", &[m, d], &r);
    let zeros = vec![0.0; d * h];
    let first = [("w1", vec![h, d], &w1), ("b1", vec![h], &b1)]
        .map(|(name, shape, data)| bench.param(name, &shape, data, &zeros[..data.len()]));
    let second = [("w2", vec![d, h], &w2), ("b2", vec![d], &b2)]
        .map(|(name, shape, data)| bench.param(name, &shape, data, &zeros[..data.len()]));
    let y = ops::mlp(&mut bench.rec, x_in, first, second, Some(r_in), None);
    bench.rec.keep(y, "y");
    bench.backward(y, &dy);
    bench.keep_grad(x_in, "x");
    let run = bench.run();

    let [x, r, dy, w1, b1, w2, b2] = [&x, &r, &dy, &w1, &b1, &w2, &b2].map(|v| wide(v));
    let oracle = Mlp { sizes, x: &x, w1: &w1, b1: &b1, w2: &w2, b2: &b2 };
    failures.compare(&what("y"), &run.f32("y"), &oracle.forward(&r), TOLERANCE);
    let names = ["d x", "d w1", "d b1", "d w2", "d b2"];
    for (name, expected) in names.into_iter().zip(oracle.backward(&dy)) {
        failures.compare(&what(name), &run.f32(name), &expected, 2.0 * TOLERANCE);
    }
    // The residual's gradient is the output's own tensor.
    failures.compare(&what("d residual"), &run.f32("dy"), &dy, 0.0);
}

/// GELU alone, through an MLP of widths 1 with unit weights, at exact points of its range.
#[test]
fn gelu_is_the_exact_one() {
    let mut failures = Failures::default();
    let x: Vec<f32> = (-800..=800).map(|i| i as f32 / 100.0).collect();
    let n = x.len();
    for setup in setups() {
        let mut bench = Bench::new(&setup);
        let column = bench.variable("x", &[n, 1], &x);
        let one = bench.input("one", &[1, 1], &[1.0]);
        let zero = bench.input("zero", &[1], &[0.0]);
        let shortcut = bench.input("shortcut", &[n, 1], &vec![0.0; n]);
        let y = ops::mlp(&mut bench.rec, column, [one, zero], [one, zero], Some(shortcut), None);
        bench.rec.keep(y, "y");
        bench.backward(y, &vec![1.0; n]);
        bench.keep_grad(column, "x");
        let run = bench.run();
        let expected: Vec<f64> = x.iter().map(|&x| gelu(f64::from(x))).collect();
        let slope = |&x: &f32| (gelu(f64::from(x) + 1e-5) - gelu(f64::from(x) - 1e-5)) / 2e-5;
        let slopes: Vec<f64> = x.iter().map(slope).collect();
        // Of ±8: 1.6e-6 absolute. The tanh form is off by 4.7e-4.
        failures.compare(&format!("{} gelu", setup.name), &run.f32("y"), &expected, 2e-7);
        failures.compare(&format!("{} gelu'", setup.name), &run.f32("d x"), &slopes, 2e-6);
    }
    failures.report();
}

/// `a + b`, where `a` has a gradient already and the branch's own backward comes first.
#[test]
fn residuals() {
    let mut failures = Failures::default();
    for (setup, n) in setups().iter().flat_map(|s| [1, 7, 63, 65, 197].map(|n| (s, n))) {
        let (a, b, old, dy) = (normal(1, n), normal(2, n), normal(3, n), normal(4, n));
        let mut bench = Bench::new(setup);
        let a_in = bench.variable_with_grad("a", &[n], &a, &old);
        let b_in = bench.variable("b", &[n], &b);
        let y = ops::residual(&mut bench.rec, a_in, b_in);
        bench.rec.keep(y, "y");
        bench.backward(y, &dy);
        let run = bench.run();
        let [a, b, old, dy] = [&a, &b, &old, &dy].map(|v| wide(v));
        let what = |name: &str| format!("{} residual {n} {name}", setup.name);
        failures.compare(&what("y"), &run.f32("y"), &sum(&a, &b), 2e-7);
        failures.compare(&what("d a"), &run.f32("d a"), &sum(&old, &dy), 2e-7);
        failures.compare(&what("d b"), &run.f32("dy"), &dy, 0.0);
    }
    failures.report();
}
