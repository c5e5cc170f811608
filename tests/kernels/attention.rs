//! Attention, forward and backward.

use webmae::kernels::{AttentionForm, AttentionShape, Precision};
use webmae::ops::{Heads, attention};

use crate::bench::{Bench, Failures, Setup, attention_setups, halves, normal, wide};
use crate::dropout::Site;
use crate::oracle;

/// The output and the gradient of `qkv`, with probabilities dropped at a site if there is one.
pub fn run(
    setup: &Setup,
    precision: Precision,
    [batch, tokens, count, dim]: [usize; 4],
    qkv: &[f32],
    dy: &[f32],
    site: Option<&Site>,
) -> [Vec<f32>; 2] {
    let mut bench = Bench::new(setup);
    let shape = [batch, tokens, 3 * count * dim];
    let qkv_in = match precision {
        Precision::F32 => bench.variable("qkv", &shape, qkv),
        Precision::F16 => bench.half_variable("qkv", &shape, qkv),
    };
    let dropout = site.map(|site| site.bind(&mut bench));
    let y = attention(&mut bench.rec, qkv_in, Heads { count, dim }, dropout);
    bench.rec.keep(y, "y");
    match precision {
        Precision::F32 => bench.backward(y, dy),
        Precision::F16 => bench.half_backward(y, dy),
    }
    bench.keep_grad(qkv_in, "qkv");
    let run = bench.run();
    match precision {
        Precision::F32 => [run.f32("y"), run.f32("d qkv")],
        Precision::F16 => [run.halves("y", dy.len()), run.halves("d qkv", qkv.len())],
    }
}

/// Batch, tokens, heads, values per head.
const SIZES: [[usize; 4]; 11] = [
    [1, 1, 1, 1],
    [2, 17, 5, 1],
    [2, 7, 3, 5],
    [1, 63, 2, 5],
    [2, 65, 1, 5],
    [1, 129, 1, 5],
    [1, 197, 2, 5],
    [2, 65, 3, 4],
    [1, 197, 2, 16],
    [3, 9, 2, 64],
    [1, 8, 1, 128],
];

/// Whether a driver compiles the kernels of a setup in seconds. llvmpipe takes many for wide heads without workgroup memory;
/// `attention_lengths` has one that is.
pub fn compiles_soon(setup: &Setup, dim: usize) -> bool {
    !is_software(setup) || !is_direct(setup, dim) || dim <= 16 && !setup.checked
}

/// Whether attention uses no workgroup memory.
pub fn is_direct(setup: &Setup, dim: usize) -> bool {
    let shape = AttentionShape::new(Precision::F32, 1, dim);
    setup.products.suitable_attention(&shape) == Some(AttentionForm::Direct)
}

/// Whether shaders run on the processor.
pub fn is_software(setup: &Setup) -> bool {
    setup.device.gpu().is_some_and(|gpu| gpu.adapter().is_software())
}

#[test]
fn attentions() {
    let mut failures = Failures::default();
    for (setup, sizes) in attention_setups().iter().flat_map(|s| SIZES.map(|z| (s, z))) {
        if !compiles_soon(setup, sizes[3]) {
            continue;
        }
        let values = sizes.iter().product::<usize>();
        let (qkv, dy) = (normal(1, 3 * values), normal(2, values));
        let [y, d_qkv] = run(setup, Precision::F32, sizes, &qkv, &dy, None);
        let (expected, d_expected) = oracle::attention(&wide(&qkv), sizes, Some(&wide(&dy)));
        let what = |name: &str| format!("{} attention {sizes:?} {name}", setup.name);
        failures.compare(&what("y"), &y, &expected, 4e-6);
        failures.compare(&what("d qkv"), &d_qkv, &d_expected, 1e-5);
    }
    failures.report();
}

/// Probabilities that are dropped: in all three kernels the same ones, behind a softmax that has them all.
#[test]
fn attentions_with_dropout() {
    let mut failures = Failures::default();
    // More than one block of the twins' keys and queries, and not by fours.
    let long = [1, 301, 2, 4];
    for (setup, sizes) in
        attention_setups().iter().flat_map(|s| SIZES.into_iter().chain([long]).map(move |z| (s, z)))
    {
        let [batch, tokens, _, dim] = sizes;
        if !compiles_soon(setup, dim) {
            continue;
        }
        let values = sizes.iter().product::<usize>();
        let (qkv, dy) = (halves(&normal(1, 3 * values)), halves(&normal(2, values)));
        let site = Site::new(batch, 0.3);
        let row = tokens.next_multiple_of(4);
        let factor = |[sample, head, query, key]: [usize; 4]| {
            f64::from(site.factor(sample, (head * tokens + query) * row + key))
        };
        let (expected, d_expected) =
            oracle::dropped_attention(&wide(&qkv), sizes, Some(&wide(&dy)), factor);
        for (precision, tolerances) in
            [(Precision::F32, [4e-6, 1e-5]), (Precision::F16, [1e-3, 2e-3])]
        {
            let [y, d_qkv] = run(setup, precision, sizes, &qkv, &dy, Some(&site));
            let what = |name: &str| format!("{} {precision:?} {sizes:?} {name}", setup.name);
            failures.compare(&what("y"), &y, &expected, tolerances[0]);
            failures.compare(&what("d qkv"), &d_qkv, &d_expected, tolerances[1]);
        }
        let never = Site { rate: 0.0, ..site };
        let both =
            [None, Some(&never)].map(|site| run(setup, Precision::F32, sizes, &qkv, &dy, site));
        failures.equal(&format!("{} {sizes:?} at a rate of 0", setup.name), &both[1], &both[0]);
    }
    failures.report();
}

/// Scores in the thousands, of one sign or both, and all the same: e^x alone would overflow, and a
/// row of only far-negative scores would vanish.
#[test]
fn extreme_scores_stay_finite() {
    let mut failures = Failures::default();
    for setup in attention_setups() {
        let sizes @ [_, _, heads, dim] = [1, 67, 2, 5];
        let values: usize = sizes.iter().product();
        let dy = normal(2, values);
        for (name, q, k) in [("large", 60.0, 60.0), ("very large", 3e4, 3e4), ("equal", 0.0, 0.0)] {
            let mut qkv = normal(1, 3 * values);
            for (i, value) in qkv.iter_mut().enumerate() {
                *value *= [q, k, 1.0][i / (heads * dim) % 3];
            }
            let [y, d_qkv] = run(&setup, Precision::F32, sizes, &qkv, &dy, None);
            let finite = y.iter().chain(&d_qkv).all(|v| v.is_finite());
            failures.ensure(finite, || format!("{} {name}: not finite", setup.name));
            if q < 1e3 {
                // Scores of about 1e4 are rounded to 1e-3: so are the weights.
                let (expected, _) = oracle::attention(&wide(&qkv), sizes, None);
                failures.compare(&format!("{} {name}", setup.name), &y, &expected, 5e-3);
            }
        }
        // Every score far below zero: opposite queries and keys.
        let mut qkv = normal(1, 3 * values);
        for (i, value) in qkv.iter_mut().enumerate() {
            match i / (heads * dim) % 3 {
                0 => *value = 100.0,
                1 => *value = -100.0 - 0.01 * (i / (3 * heads * dim)) as f32,
                _ => {}
            }
        }
        let [y, d_qkv] = run(&setup, Precision::F32, sizes, &qkv, &dy, None);
        let (expected, _) = oracle::attention(&wide(&qkv), sizes, None);
        failures.compare(&format!("{} far below zero", setup.name), &y, &expected, 5e-2);
        let finite = d_qkv.iter().all(|v| v.is_finite());
        failures.ensure(finite, || format!("{}: gradient not finite", setup.name));
    }
    failures.report();
}
