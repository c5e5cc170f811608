//! Attention from one token to several thousand and for heads of 16 to 128 values, in f32 and in f16.
//! Inputs are values that f16 has, so that f64 code sees the same ones.

use webmae::kernels::Precision;

use crate::attention::{compiles_soon, is_direct, is_software, run};
use crate::bench::{Failures, Setup, attention_setups, halves, normal, wide};
use crate::oracle;

/// What the adapter offers; `half_precision` fails where that is f32 alone.
fn precisions(setup: &Setup) -> impl Iterator<Item = Precision> {
    [Precision::F32, Precision::F16]
        .into_iter()
        .filter(|&p| setup.device.check_precision(p).is_ok())
}

/// What the output and the gradient may be wrong by. In f16 both are rounded, and the gradient is made from a
/// rounded output.
fn tolerances(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::F32 => [4e-6, 1e-5],
        Precision::F16 => [5.2e-4, 1.1e-3],
    }
}

fn inputs(sizes: [usize; 4]) -> [Vec<f32>; 2] {
    let values = sizes.iter().product();
    [halves(&normal(1, 3 * values)), halves(&normal(2, values))]
}

/// llvmpipe ends an invocation's loops after 65,535 iterations of all of them together, and the backward pass of a head
/// is one workgroup's: there, gradients of sequences up to this length only.
fn has_gradient(setup: &Setup, tokens: usize) -> bool {
    tokens <= 600 || !is_software(setup)
}

/// Every width, and lengths up to one past 1024: batch, tokens, heads, values per head.
#[test]
fn widths_and_lengths() {
    let cases = [
        [2, 1, 2, 16],
        [2, 2, 3, 24],
        [2, 3, 1, 32],
        [1, 5, 2, 40],
        [2, 17, 1, 48],
        [1, 50, 2, 64],
        [1, 197, 2, 72],
        [1, 257, 2, 80],
        [2, 33, 1, 96],
        [1, 70, 2, 128],
        [1, 513, 2, 16],
        [1, 1025, 2, 16],
    ];
    let mut failures = Failures::default();
    for sizes in cases {
        let [qkv, dy] = inputs(sizes);
        let expected = oracle::attention(&wide(&qkv), sizes, Some(&wide(&dy)));
        // Compiling is what takes the time: f16 and checks with the narrowest and the widest heads only.
        let outermost = [16, 128].contains(&sizes[3]);
        for setup in attention_setups().into_iter().filter(|setup| outermost || !setup.checked) {
            let is_wide_and_direct = sizes[3] == 80 && !setup.checked;
            if !compiles_soon(&setup, sizes[3]) && !is_wide_and_direct {
                continue;
            }
            for precision in precisions(&setup).take(if outermost { 2 } else { 1 }) {
                let results = run(&setup, precision, sizes, &qkv, &dy, None);
                let what = |part| format!("{} {precision:?} {sizes:?} {part}", setup.name);
                let [y, d_qkv] = tolerances(precision);
                failures.compare(&what("y"), &results[0], &expected.0, y);
                if has_gradient(&setup, sizes[1]) {
                    failures.compare(&what("d qkv"), &results[1], &expected.1, d_qkv);
                }
            }
        }
    }
    failures.report();
}

/// One head, of which some tokens are checked: sums over all of the others are behind each of them.
#[test]
fn thousands_of_tokens() {
    const DIM: usize = 16;
    let mut failures = Failures::default();
    for tokens in [2049, 4098] {
        let sizes = [1, tokens, 1, DIM];
        let [qkv, dy] = inputs(sizes);
        let chosen = [0, 1, 63, 64, 1000, 2047, 2048, tokens - 1];
        let expected = oracle::attention_of_tokens(&wide(&qkv), DIM, &wide(&dy), &chosen);
        let is_long = |setup: &&Setup| is_software(setup) && is_direct(setup, DIM) && tokens > 2049;
        for setup in attention_setups().iter().filter(|setup| !setup.checked && !is_long(setup)) {
            for precision in precisions(setup) {
                let results = run(setup, precision, sizes, &qkv, &dy, None);
                let what = |part| format!("{} {precision:?} {sizes:?} {part}", setup.name);
                let rows = |values: &[f32], width: usize| -> Vec<f32> {
                    chosen.iter().flat_map(|&t| &values[t * width..][..width]).copied().collect()
                };
                let [y, d_qkv] = tolerances(precision);
                failures.compare(&what("y"), &rows(&results[0], DIM), &expected.0, y);
                if has_gradient(setup, tokens) {
                    let d_rows = rows(&results[1], 3 * DIM);
                    failures.compare(&what("d qkv"), &d_rows, &expected.1, d_qkv);
                }
            }
        }
    }
    failures.report();
}

/// Scores of exactly ±80, whose e^x differ by 69 decimal places; and keys that are all the same, where every
/// weight is 1/L.
#[test]
fn scores_of_eighty_and_equal_keys() {
    let sizes @ [.., dim] = [1, 70, 1, 16];
    let [random, dy] = inputs(sizes);
    // q·k/√16 = ±16 · 5 · 4 / 4.
    let eighty = |token: usize, part| match part {
        0 => 5.0,
        _ if token.is_multiple_of(3) => 4.0,
        _ => -4.0,
    };
    let equal = |_, part| if part == 0 { 1.5 } else { 0.75 };
    type Pattern = fn(usize, usize) -> f32;
    let patterns: [(&str, Pattern); 2] = [("scores of 80", eighty), ("equal keys", equal)];
    let mut failures = Failures::default();
    for (name, pattern) in patterns {
        let mut qkv = random.clone();
        for (i, head) in qkv.chunks_exact_mut(dim).enumerate().filter(|(i, _)| i % 3 < 2) {
            head.fill(pattern(i / 3, i % 3));
        }
        let expected = oracle::attention(&wide(&qkv), sizes, Some(&wide(&dy)));
        for (setup, precision) in
            attention_setups().iter().flat_map(|s| precisions(s).map(move |p| (s, p)))
        {
            let results = run(setup, precision, sizes, &qkv, &dy, None);
            let what = |part| format!("{} {precision:?} {name}: {part}", setup.name);
            let [y, d_qkv] = tolerances(precision);
            failures.compare(&what("y"), &results[0], &expected.0, y);
            // Scores of 80 are rounded to 4e-6.
            failures.compare(&what("d qkv"), &results[1], &expected.1, 2.0 * d_qkv);
        }
    }
    failures.report();
}
