//! The masked loss, raw and norm-pix, and sums of losses.

use webmae::ops::{Flatten, Truth, masked_loss};

use crate::bench::{Bench, Failures, Setup, all_setups, normal, wide};
use crate::oracle_heads;
use crate::patchify::{config, random_orders};

const NONE: u32 = u32::MAX;

struct Case {
    batch: usize,
    grid: [usize; 2],
    patch: [usize; 2],
    channels: usize,
    mask_ratio: f64,
    accumulated: usize,
}

/// Targets of `cls + L` tokens in patch order: masked patches, NONE elsewhere.
fn targets(batch: usize, patches: usize, masked: usize, cls: usize) -> Vec<u32> {
    let order = random_orders(batch, patches);
    let mut targets = vec![NONE; batch * (cls + patches)];
    for (b, order) in order.chunks(patches).enumerate() {
        for &id in &order[..masked] {
            targets[b * (cls + patches) + cls + id as usize] = id;
        }
    }
    targets
}

fn check(setup: &Setup, case: &Case, norm_pix: bool, constant: bool, failures: &mut Failures) {
    let mut config = config(case.grid, case.patch, case.channels);
    config.norm_pix_loss = norm_pix;
    config.mask_ratio = case.mask_ratio;
    let (batch, patches, p) = (case.batch, config.num_patches(), config.patch_dim());
    let tokens = patches + 1;
    let mut images: Vec<f32> =
        normal(1, batch * config.image_len()).iter().map(|x| 0.4 + 0.3 * x).collect();
    if constant {
        // A power of two: its mean is exact, so that the target is exactly zero.
        images.fill(0.5);
    }
    let targets = targets(batch, patches, config.num_masked(), 1);
    let pred = normal(2, batch * tokens * p);
    let mut bench = Bench::new(setup);
    let [h, w] = config.image_size;
    let pixels = bench.input("images", &[batch, case.channels, h, w], &images);
    let target = bench.ids("target", &[batch, tokens], &targets);
    let pred_in = bench.variable("pred", &[batch, tokens, p], &pred);
    let loss = bench.input("loss", &[1], &[0.25]);
    let input = Truth { values: pixels, accumulated: case.accumulated };
    let losses = masked_loss(&mut bench.rec, &config, input, target, pred_in, loss);
    bench.rec.keep(losses, "losses");
    bench.keep_grad(pred_in, "pred");
    // The same without gradient: an evaluation's variant.
    let frozen = bench.input("frozen", &[batch, tokens, p], &pred);
    let eval_loss = bench.input("eval loss", &[1], &[0.0]);
    masked_loss(&mut bench.rec, &config, input, target, frozen, eval_loss);
    let run = bench.run();

    let targets: Vec<Option<usize>> =
        targets.iter().map(|&t| (t != NONE).then_some(t as usize)).collect();
    let masked = (batch * config.num_masked() * case.accumulated) as f64;
    let (wanted, total, gradient) =
        oracle_heads::masked_loss(&config, &wide(&images), &targets, &wide(&pred), masked);
    let what = |part: &str| {
        let (grid, patch) = (case.grid, case.patch);
        let constant = if constant { " constant" } else { "" };
        format!("{} loss {grid:?} of {patch:?} norm {norm_pix}{constant} {part}", setup.name)
    };
    failures.compare(&what("per token"), &run.f32("losses"), &wanted, 4e-6);
    failures.compare(&what("total"), &run.f32("loss"), &[0.25 + total], 4e-6);
    failures.compare(&what("evaluated"), &run.f32("eval loss"), &[total], 4e-6);
    failures.compare(&what("gradient"), &run.f32("d pred"), &gradient, 4e-6);
}

fn cases() -> [Case; 5] {
    let case = |batch, grid, patch, channels, mask_ratio, accumulated| Case {
        batch,
        grid,
        patch,
        channels,
        mask_ratio,
        accumulated,
    };
    [
        case(1, [1, 2], [1, 1], 1, 0.5, 1),
        case(2, [3, 5], [4, 2], 3, 0.75, 1),
        case(3, [7, 1], [1, 7], 4, 0.5, 3),
        case(2, [1, 9], [3, 3], 7, 0.9, 2),
        case(1, [2, 2], [16, 22], 3, 0.5, 1),
    ]
}

#[test]
fn masked_losses_of_rows() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        for case in &cases() {
            for (dim, norm_pix) in [(1, false), (7, true), (65, false), (197, false), (63, true)] {
                check_rows(&setup, case, dim, norm_pix, &mut failures);
            }
        }
    }
    failures.report();
}

#[test]
fn masked_losses() {
    let cases = cases();
    let mut failures = Failures::default();
    for setup in all_setups() {
        for case in &cases {
            for norm_pix in [false, true] {
                check(&setup, case, norm_pix, false, &mut failures);
            }
        }
        // Patches of one colour have no variance: the target is zero, not NaN.
        check(&setup, &cases[1], true, true, &mut failures);
    }
    failures.report();
}

/// Rows of values in place of pixels: as if each patch were one pixel of so many channels.
fn check_rows(setup: &Setup, case: &Case, dim: usize, norm_pix: bool, failures: &mut Failures) {
    let mut config = config(case.grid, case.patch, case.channels);
    config.norm_pix_loss = norm_pix;
    config.mask_ratio = case.mask_ratio;
    let mut wide_pixels = crate::patchify::config(case.grid, [1, 1], dim);
    wide_pixels.norm_pix_loss = norm_pix;
    let (batch, patches) = (case.batch, config.num_patches());
    let tokens = patches + 1;
    let images = wide(&normal(1, batch * patches * dim));
    let rows = oracle_heads::patchify(&wide_pixels, &images, Flatten::ChannelLast);
    let rows: Vec<f32> = rows.iter().map(|&x| x as f32).collect();
    let targets = targets(batch, patches, config.num_masked(), 1);
    let pred = normal(2, batch * tokens * dim);
    let mut bench = Bench::new(setup);
    let values = bench.input("values", &[batch, patches, dim], &rows);
    let target = bench.ids("target", &[batch, tokens], &targets);
    let pred_in = bench.variable("pred", &[batch, tokens, dim], &pred);
    let loss = bench.input("loss", &[1], &[0.25]);
    let truth = Truth { values, accumulated: case.accumulated };
    let losses = masked_loss(&mut bench.rec, &config, truth, target, pred_in, loss);
    bench.rec.keep(losses, "losses");
    bench.keep_grad(pred_in, "pred");
    let run = bench.run();

    let targets: Vec<Option<usize>> =
        targets.iter().map(|&t| (t != NONE).then_some(t as usize)).collect();
    let masked = (batch * config.num_masked() * case.accumulated) as f64;
    let (wanted, total, gradient) =
        oracle_heads::masked_loss(&wide_pixels, &images, &targets, &wide(&pred), masked);
    let what = |part: &str| {
        format!("{} loss of {:?} rows of {dim} norm {norm_pix} {part}", setup.name, case.grid)
    };
    failures.compare(&what("per token"), &run.f32("losses"), &wanted, 4e-6);
    failures.compare(&what("total"), &run.f32("loss"), &[0.25 + total], 4e-6);
    failures.compare(&what("gradient"), &run.f32("d pred"), &gradient, 4e-6);
}

/// More losses than a workgroup has lanes, in every remainder: added exactly once each.
#[test]
fn sums_of_losses() {
    let mut failures = Failures::default();
    for (setup, patches) in
        all_setups().iter().flat_map(|s| [2, 7, 63, 65, 197, 1031, 4099].map(|n| (s, n)))
    {
        let mut config = config([1, patches], [1, 1], 1);
        config.mask_ratio = 1.0 - 1.01 / patches as f64;
        let mut bench = Bench::new(setup);
        let pixels = bench.input("images", &[1, 1, 1, patches], &vec![0.0; patches]);
        let all: Vec<u32> = (0..patches as u32).collect();
        let target = bench.ids("target", &[1, patches], &all);
        // Squares are integers: the sum is exact.
        let pred: Vec<f32> = (0..patches).map(|i| (i % 5) as f32).collect();
        let pred_in = bench.input("pred", &[1, patches, 1], &pred);
        let loss = bench.input("loss", &[1], &[0.0]);
        let images = Truth { values: pixels, accumulated: 1 };
        masked_loss(&mut bench.rec, &config, images, target, pred_in, loss);
        let run = bench.run();
        let sum: f64 = pred.iter().map(|&x| f64::from(x * x)).sum();
        let expected = sum / config.num_masked() as f64;
        failures.compare(&format!("{} {patches}", setup.name), &run.f32("loss"), &[expected], 2e-7);
    }
    failures.report();
}
