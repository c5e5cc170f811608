//! More workgroups than one dimension of a grid holds (65,535): every kernel finds its place in the
//! second one, and the surplus groups at the end do no harm.

use webmae::kernels::Precision;
use webmae::ops::optimizer::{
    AdamW, METRICS_RING, METRICS_WORDS, STATE_WORDS, STEP_WORDS, Scalars, SlabTensors, State,
    StepTensors, adamw,
};
use webmae::ops::{
    self, BatchNorm, DropPath, Flatten, Heads, Layout, MaskIds, Target, Truth, assemble_tokens,
    token_maps,
};

use crate::bench::{Bench, Failures, Setup, normal, setups, wide};
use crate::patchify::config;
use crate::{oracle, oracle_heads};

/// One more row than groups fit, and a second row of groups that is far from full.
const ROWS: usize = 65_535 + 7;
/// The same for kernels of 64 invocations a group.
const VALUES: usize = 65_535 * 64 + 7;

/// The twins, and the shaders checked.
fn two_setups() -> [Setup; 2] {
    let [cpu, _, checked] = setups();
    [cpu, checked]
}

/// Cheap values, all different from their neighbours and exact in f32.
fn pattern(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 1021) as f32 / 64.0 - 8.0).collect()
}

#[test]
fn kernels_of_one_group_per_row() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let dim = 3;
        let (x, dy) = (normal(1, ROWS * dim), normal(2, ROWS * dim));
        let (gamma, beta) = (normal(3, dim), normal(4, dim));
        let labels: Vec<u32> = (0..ROWS as u32).map(|r| r % dim as u32).collect();
        let mut bench = Bench::new(&setup);
        let x_norm = bench.variable("x", &[ROWS, dim], &x);
        let gamma_in = bench.param("gamma", &[dim], &gamma, &[0.0; 3]);
        let beta_in = bench.param("beta", &[dim], &beta, &[0.0; 3]);
        let normed = ops::layer_norm(&mut bench.rec, x_norm, gamma_in, beta_in, 1e-2);
        bench.rec.keep(normed, "normed");
        let x_softmax = bench.variable("x2", &[ROWS, dim], &x);
        let p = ops::softmax(&mut bench.rec, x_softmax);
        bench.rec.keep(p, "p");
        let dy_in = bench.input("dy softmax", &[ROWS, dim], &dy);
        bench.rec.set_grad(p, dy_in);
        let logits = bench.variable("x3", &[ROWS, dim], &x);
        let loss = bench.input("loss", &[1], &[0.0]);
        let target =
            Target::Labels { labels: bench.ids("labels", &[ROWS], &labels), smoothing: 0.0 };
        ops::cross_entropy(&mut bench.rec, logits, target, ROWS, loss);
        bench.backward(normed, &dy);
        for (tensor, name) in [(x_norm, "x"), (x_softmax, "x2"), (logits, "x3")] {
            bench.keep_grad(tensor, name);
        }
        let run = bench.run();

        let [x, dy, gamma, beta] = [&x, &dy, &gamma, &beta].map(|v| wide(v));
        let what = |part: &str| format!("{} {part}", setup.name);
        let normed = oracle::layer_norm(&x, &gamma, &beta, f64::from(1e-2_f32));
        failures.compare(&what("layer norm"), &run.f32("normed"), &normed, 1e-5);
        let [dx, d_gamma, d_beta] =
            oracle::layer_norm_backward(&x, &gamma, f64::from(1e-2_f32), &dy);
        failures.compare(&what("layer norm dx"), &run.f32("d x"), &dx, 2e-5);
        // Sums of 65,542 values of both signs: error of √n roundings against √n.
        failures.compare(&what("d gamma"), &run.f32("d gamma"), &d_gamma, 1e-4);
        failures.compare(&what("d beta"), &run.f32("d beta"), &d_beta, 1e-4);
        let p = oracle::softmax(&x, dim);
        failures.compare(&what("softmax"), &run.f32("p"), &p, 1e-6);
        let dx = oracle::softmax_backward(&p, &dy, dim);
        failures.compare(&what("softmax dx"), &run.f32("d x2"), &dx, 1e-5);
        let hot = |i: usize| f64::from(u8::from(labels[i / dim] as usize == i % dim));
        let targets: Vec<f64> = (0..x.len()).map(hot).collect();
        let (value, gradient) = oracle_heads::cross_entropy(&x, &targets, dim);
        failures.compare(&what("cross entropy"), &run.f32("loss"), &[value], 1e-5);
        let scaled: Vec<f32> = run.f32("d x3").iter().map(|g| g * ROWS as f32).collect();
        let gradient: Vec<f64> = gradient.iter().map(|g| g * ROWS as f64).collect();
        failures.compare(&what("cross entropy dx"), &scaled, &gradient, 1e-5);
    }
    failures.report();
}

#[test]
fn attention_and_products() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let sizes = [ROWS, 1, 1, 1];
        let (qkv, dy) = (normal(1, ROWS * 3), normal(2, ROWS));
        let mut bench = Bench::new(&setup);
        let qkv_in = bench.variable("qkv", &[ROWS, 1, 3], &qkv);
        let y = ops::attention(&mut bench.rec, qkv_in, Heads { count: 1, dim: 1 }, None);
        bench.rec.keep(y, "y");
        bench.backward(y, &dy);
        bench.keep_grad(qkv_in, "qkv");
        let run = bench.run();
        let (y, d_qkv) = oracle::attention(&wide(&qkv), sizes, Some(&wide(&dy)));
        let what = |part: &str| format!("{} {part}", setup.name);
        failures.compare(&what("attention"), &run.f32("y"), &y, 1e-6);
        failures.compare(&what("attention d qkv"), &run.f32("d qkv"), &d_qkv, 1e-6);
    }
    // Tall and thin: more row tiles than 65,535 of the tiled kernel's 64 rows.
    let [_, setup, _] = setups();
    let x = pattern(VALUES);
    let mut bench = Bench::new(&setup);
    let x_in = bench.input("x", &[VALUES, 1], &x);
    let w = bench.input("w", &[1, 1], &[0.5]);
    let b = bench.input("b", &[1], &[0.25]);
    let y = ops::linear(&mut bench.rec, x_in, w, Some(b));
    bench.rec.keep(y, "y");
    let combined = ops::combine(&mut bench.rec, x_in, w, b);
    bench.rec.keep(combined, "combined");
    let run = bench.run();
    let wanted: Vec<f32> = x.iter().map(|x| 0.5 * x + 0.25).collect();
    failures.equal(&format!("{} linear", setup.name), &run.f32("y"), &wanted);
    failures.equal(&format!("{} combination", setup.name), &run.f32("combined"), &wanted);
    failures.report();
}

#[test]
fn kernels_of_one_invocation_per_value() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let what = |part: &str| format!("{} {part}", setup.name);
        let x = pattern(VALUES);
        let doubled: Vec<f32> = x.iter().map(|x| x + x).collect();
        let mut bench = Bench::new(&setup);
        let a = bench.variable_with_grad("a", &[VALUES], &x, &x);
        let b = bench.input("b", &[VALUES], &x);
        let y = ops::residual(&mut bench.rec, a, b);
        bench.rec.keep(y, "y");
        bench.backward(y, &x);
        let run = bench.run();
        failures.equal(&what("residual"), &run.f32("y"), &doubled);
        failures.equal(&what("add"), &run.f32("d a"), &doubled);

        let mut bench = Bench::new(&setup);
        let x_in = bench.variable("x", &[VALUES, 1, 1], &x);
        let y = ops::mean_pool(&mut bench.rec, x_in, 0..1);
        bench.rec.keep(y, "y");
        bench.backward(y, &doubled);
        bench.keep_grad(x_in, "x");
        let run = bench.run();
        failures.equal(&what("mean pool"), &run.f32("y"), &x);
        failures.equal(&what("mean pool dx"), &run.f32("d x"), &doubled);

        let mut bench = Bench::new(&setup);
        let x_in = bench.input("x", &[1, VALUES], &x);
        let norm = BatchNorm {
            running_mean: bench.input("mean", &[VALUES], &x),
            running_var: bench.input("var", &[VALUES], &vec![1.0; VALUES]),
            eps: 0.0,
            momentum: 0.5,
            train: false,
        };
        let y = ops::batch_norm(&mut bench.rec, x_in, norm);
        bench.rec.keep(y, "y");
        let run = bench.run();
        failures.equal(&what("batch norm"), &run.f32("y"), &vec![0.0; VALUES]);
    }
    failures.report();
}

/// As many discrete values, and a residual connection of them in two samples, one of them dropped.
#[test]
fn discrete_values_and_dropped_branches() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let what = |part: &str| format!("{} {part}", setup.name);
        let x = pattern(2 * VALUES);
        let mut bench = Bench::new(&setup);
        let pairs = bench.input("pairs", &[VALUES, 2], &x);
        let best = ops::argmax(&mut bench.rec, pairs);
        bench.rec.keep(best, "best");
        // Backwards through a table of odd length.
        let ids: Vec<u32> = (0..VALUES as u32).rev().map(|i| i % 1021).collect();
        let ids_in = bench.ids("ids", &[1, VALUES], &ids);
        let table = bench.input("table", &[1021, 1], &x[..1021]);
        let rows = ops::gather_rows(&mut bench.rec, table, ids_in);
        bench.rec.keep(rows, "rows");
        let mut target: Vec<u32> = (0..VALUES as u32).rev().collect();
        target[VALUES - 3] = u32::MAX;
        let target_in = bench.ids("target", &[1, VALUES], &target);
        let labels = ops::gather_labels(&mut bench.rec, target_in, ids_in);
        bench.rec.keep(labels, "labels");
        let run = bench.run();
        let best: Vec<u32> = x.chunks(2).map(|pair| u32::from(pair[1] > pair[0])).collect();
        failures.equal(&what("argmax"), &run.u32("best"), &best);
        let wanted: Vec<f32> = ids.iter().map(|&id| x[id as usize]).collect();
        failures.equal(&what("rows"), &run.f32("rows"), &wanted);
        let label = |&t: &u32| if t == u32::MAX { t } else { ids[t as usize] };
        let wanted: Vec<u32> = target.iter().map(label).collect();
        failures.equal(&what("labels"), &run.u32("labels"), &wanted);

        let half = VALUES.div_ceil(2);
        let x = &x[..2 * half];
        let mut bench = Bench::new(&setup);
        let a = bench.variable("a", &[2, half], x);
        let b = bench.variable("b", &[2, half], x);
        let scales = bench.input("scales", &[1, 2], &[0.0, 1.25]);
        let y = ops::drop_path(&mut bench.rec, a, b, DropPath { scales, connection: 0 });
        bench.rec.keep(y, "y");
        bench.backward(y, x);
        bench.keep_grad(b, "b");
        let run = bench.run();
        let scaled: Vec<f32> =
            x.iter().enumerate().map(|(i, x)| if i < half { 0.0 } else { 1.25 * x }).collect();
        let wanted: Vec<f32> = x.iter().zip(&scaled).map(|(x, s)| x + s).collect();
        failures.equal(&what("drop path"), &run.f32("y"), &wanted);
        failures.equal(&what("drop path d branch"), &run.f32("d b"), &scaled);
    }
    failures.report();
}

/// One image of more than 4 million patches of one pixel, in reverse order.
#[test]
fn patches_tokens_and_masks() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let what = |part: &str| format!("{} {part}", setup.name);
        let mut config = config([2049, 2048], [1, 1], 1);
        let patches = config.num_patches();
        config.mask_ratio = 1.0 - 3.5 / patches as f64;
        let (keep, rows) = (config.len_keep(), config.position_rows());
        assert_eq!(keep, 3);
        let x = pattern(patches);
        let reversed: Vec<u32> = (0..patches as u32).rev().collect();
        let mut bench = Bench::new(&setup);
        let images = bench.input("images", &[1, 1, 2049, 2048], &x);
        let order = bench.ids("order", &[1, patches], &reversed);
        let gathered = Some((order, 0, patches));
        let out = ops::patchify(
            &mut bench.rec,
            &config,
            images,
            Flatten::ChannelLast,
            Precision::F32,
            gathered,
        );
        bench.rec.keep(out, "gathered");
        // Reversing is its own inverse.
        let ids = MaskIds { shuffle: order, restore: order };
        let extents = [1 + patches, 1 + keep];
        let maps = token_maps(&mut bench.rec, &config, ids, Layout::PatchOrder, extents, true, 1);
        let given = bench.variable("given", &[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
        let mask = bench.input("mask", &[1, 1, 1], &[0.5]);
        let positions = pattern(rows);
        let table = bench.param("positions", &[1, rows, 1], &positions, &vec![0.0; rows]);
        let tokens = assemble_tokens(&mut bench.rec, maps, given, None, Some(mask), table);
        bench.rec.keep(tokens, "tokens");
        bench.rec.keep(maps.target, "target");
        bench.backward(tokens, &positions);
        let run = bench.run();
        let wanted: Vec<f32> = x.iter().rev().copied().collect();
        failures.equal(&what("patchify"), &run.f32("gathered"), &wanted);
        // Cls, masked patches, then the visible last three in reverse.
        let mut wanted: Vec<f32> = positions.iter().map(|p| p + 0.5).collect();
        wanted[0] = positions[0] + 1.0;
        for (i, value) in [(rows - 1, 2.0), (rows - 2, 3.0), (rows - 3, 4.0)] {
            wanted[i] = positions[i] + value;
        }
        failures.equal(&what("tokens"), &run.f32("tokens"), &wanted);
        failures.equal(&what("position gradient"), &run.f32("d positions"), &positions);
        let mut targets: Vec<u32> = (0..rows as u32).map(|t| t.wrapping_sub(1)).collect();
        targets[rows - 3..].fill(u32::MAX);
        failures.equal(&what("targets"), &run.u32("target"), &targets);
    }
    failures.report();
}

/// A batch of more samples than groups hold, two patches each; and the loss of as many tokens.
#[test]
fn orders_and_losses() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        let what = |part: &str| format!("{} {part}", setup.name);
        let batch = VALUES.div_ceil(2);
        let noise = pattern(2 * batch);
        let mut bench = Bench::new(&setup);
        let input = bench.input("noise", &[batch, 2], &noise);
        let ids = ops::argsort(&mut bench.rec, input);
        bench.rec.keep(ids.shuffle, "shuffle");
        let run = bench.run();
        let order = |pair: &[f32]| if pair[1] < pair[0] { [1, 0] } else { [0, 1] };
        let wanted: Vec<u32> = noise.chunks(2).flat_map(order).collect();
        failures.equal(&what("argsort"), &run.u32("shuffle"), &wanted);

        let config = config([ROWS, 1], [1, 1], 1);
        let pixels = pattern(ROWS);
        let all: Vec<u32> = (0..ROWS as u32).collect();
        let mut bench = Bench::new(&setup);
        let images = bench.input("images", &[1, 1, ROWS, 1], &pixels);
        let target = bench.ids("target", &[1, ROWS], &all);
        let pred = bench.variable("pred", &[1, ROWS, 1], &vec![0.0; ROWS]);
        let loss = bench.input("loss", &[1], &[0.0]);
        let images = Truth { values: images, accumulated: 1 };
        let losses = ops::masked_loss(&mut bench.rec, &config, images, target, pred, loss);
        bench.rec.keep(losses, "losses");
        let values = bench.input("values", &[1, ROWS, 1], &pixels);
        let pred = bench.variable("pred of rows", &[1, ROWS, 1], &vec![0.0; ROWS]);
        let rows = Truth { values, accumulated: 1 };
        let losses = ops::masked_loss(&mut bench.rec, &config, rows, target, pred, loss);
        bench.rec.keep(losses, "losses of rows");
        let run = bench.run();
        let wanted: Vec<f32> = pixels.iter().map(|x| x * x).collect();
        failures.equal(&what("masked loss"), &run.f32("losses"), &wanted);
        failures.equal(&what("masked loss of rows"), &run.f32("losses of rows"), &wanted);
    }
    failures.report();
}

/// Noise for 4 million samples of one patch, and blocks for half a million.
#[test]
fn noise_of_many_samples() {
    let mut failures = Failures::default();
    for setup in two_setups() {
        for (strategy, batch) in
            [(webmae::MaskStrategy::Random, VALUES), (webmae::MaskStrategy::Block, 65_535 * 8 + 3)]
        {
            let mut config = config([1, 1], [1, 1], 1);
            (config.mask_strategy, config.mask_ratio) = (strategy, 0.0);
            let samples: Vec<u32> = (0..batch as u32).collect();
            let mut bench = Bench::new(&setup);
            let step = bench.ids("step", &[STEP_WORDS], &[0; STEP_WORDS]);
            let ids = bench.ids("samples", &[batch], &samples);
            let noise = ops::noise(&mut bench.rec, &config, step, ids);
            bench.rec.keep(noise, "noise");
            let run = bench.run();
            let kind = u32::from(strategy == webmae::MaskStrategy::Block);
            let word = |s: u32| webmae::philox::philox4x32([0, s, 0, kind], [0, 0])[0];
            let wanted: Vec<f32> =
                samples.iter().map(|&s| (word(s) >> 8) as f32 / 16_777_216.0).collect();
            failures.equal(&format!("{} {strategy:?}", setup.name), &run.f32("noise"), &wanted);
        }
    }
    failures.report();
}

/// A slab of 16.8 million values: more than any of the presets' blocks but the largest.
#[test]
fn a_large_slab() {
    let mut failures = Failures::default();
    let [_, setup, _] = setups();
    let len = 4 * VALUES;
    let grads: Vec<f32> = (0..len).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let mut bench = Bench::new(&setup);
    let slab = SlabTensors {
        values: bench.rec.external("values", [len]),
        grads: bench.input("grads", &[len], &grads),
        moment1: bench.rec.external("m", [len]),
        moment2: bench.rec.external("v", [len]),
        halves: None,
        averages: Some(bench.rec.external("averages", [len])),
        decayed: 0,
        lr_scale: 1.0,
    };
    let scalars = Scalars { lr: 0.5, ..Default::default() };
    let step = bench.ids("step", &[STEP_WORDS], &bytemuck::cast::<_, [u32; STEP_WORDS]>(scalars));
    let state: [u32; STATE_WORDS] = bytemuck::cast(State::default());
    let state = bench.ids("state", &[STATE_WORDS], &state);
    let loss = bench.input("loss", &[1], &[0.5]);
    let metrics = bench.rec.external("metrics", [METRICS_RING, METRICS_WORDS]);
    let [beta1, beta2, eps, weight_decay, clip_norm] = [0.5, 0.5, 0.0, 0.0, 0.0];
    let config = AdamW { beta1, beta2, eps, weight_decay, clip_norm, ema: Some(0.25) };
    adamw(&mut bench.rec, config, &[slab], StepTensors { step, state, loss, metrics });
    let run = bench.run();
    // The first step moves by the learning rate against the gradient's sign.
    let wanted: Vec<f32> = grads.iter().map(|g| -0.5 * g).collect();
    failures.equal("values", &run.f32("values"), &wanted);
    // After one update the decay is 2 / 11.
    let wanted: Vec<f64> = grads.iter().map(|g| -0.5 * f64::from(*g) * 9.0 / 11.0).collect();
    failures.compare("averages", &run.f32("averages"), &wanted, 1e-6);
    failures.compare("norm", &run.f32("metrics")[1..2], &[(len as f64).sqrt()], 1e-5);
    failures.report();
}
