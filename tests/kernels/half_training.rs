//! What mixed precision adds to a step: the loss's scale, from the first gradient to the optimiser, and the
//! copy of parameters that products read.

use pollster::block_on;
use webmae::kernels::Precision;
use webmae::ops::optimizer::{
    AdamW, METRICS_RING, METRICS_WORDS, Metrics, STATE, STATE_WORDS, STEP_WORDS, Scalars,
    SlabTensors, State, StepTensors, adamw,
};
use webmae::ops::{self, Target, Truth, masked_loss};

use crate::bench::{Bench, Failures, Results, Setup, halves, normal, setups, wide};
use crate::oracle_heads;
use crate::patchify::config;

const ROUNDING: f64 = 1.0 / 2048.0;
const CONFIG: AdamW = AdamW {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.05,
    clip_norm: 1.0,
    ema: Some(0.5),
};
const LEN: usize = 4100;

fn state_with(loss_scale: f32, good_steps: u32) -> State {
    State { loss_scale, good_steps, ..State::default() }
}

fn words(state: State) -> [u32; STATE_WORDS] {
    bytemuck::cast(state)
}

/// Both losses' gradients are multiplied by the state's scale, the losses are not.
#[test]
fn losses_scale_their_gradients() {
    let mut failures = Failures::default();
    for setup in setups() {
        let what = |name: &str| format!("{} {name}", setup.name);
        let scale = 512.0;
        let config = config([2, 2], [2, 2], 3);
        let images = normal(1, config.image_len());
        let pred = halves(&normal(2, 4 * 12));
        let targets = [Some(2), None, Some(0), Some(3)];
        let ids = targets.map(|t: Option<usize>| t.map_or(u32::MAX, |t| t as u32));
        let (rows, classes) = (5, 7);
        let logits = halves(&normal(3, rows * classes));
        let labels: Vec<u32> = (0..rows as u32).collect();

        let mut bench = Bench::new(&setup);
        bench.rec.set_precision(Precision::F16);
        bench.ids(STATE, &[STATE_WORDS], &words(state_with(scale, 0)));
        let pixels = bench.input("images", &[1, 3, 4, 4], &images);
        let target = bench.ids("target", &[1, 4], &ids);
        let pred_in = bench.half_variable("pred", &[1, 4, 12], &pred);
        let loss = bench.input("loss", &[1], &[0.0]);
        let truth = Truth { values: pixels, accumulated: 1 };
        masked_loss(&mut bench.rec, &config, truth, target, pred_in, loss);
        bench.keep_grad(pred_in, "pred");
        let logits_in = bench.half_variable("logits", &[rows, classes], &logits);
        let labels_in = bench.ids("labels", &[rows], &labels);
        let entropy = bench.input("entropy", &[1], &[0.0]);
        let labels_in = Target::Labels { labels: labels_in, smoothing: 0.0 };
        ops::cross_entropy(&mut bench.rec, logits_in, labels_in, rows, entropy);
        bench.keep_grad(logits_in, "logits");
        let run = bench.run();

        let scaled = |gradient: Vec<f64>| -> Vec<f64> {
            gradient.iter().map(|g| g * f64::from(scale)).collect()
        };
        let patches = oracle_heads::patchify(&config, &wide(&images), ops::Flatten::ChannelLast);
        let masked = config.num_masked() as f64;
        let (mut value, mut gradient) = (0.0, vec![0.0; pred.len()]);
        for (i, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            for e in 0..12 {
                let difference = f64::from(pred[i * 12 + e]) - patches[target * 12 + e];
                value += difference * difference / (12.0 * masked);
                gradient[i * 12 + e] = 2.0 * difference / (12.0 * masked);
            }
        }
        let tolerance = ROUNDING + 4e-6;
        failures.compare(&what("loss"), &run.f32("loss"), &[value], 4e-6);
        let d_pred = run.halves("d pred", pred.len());
        failures.compare(&what("d pred"), &d_pred, &scaled(gradient), tolerance);
        let hot = |i: usize| f64::from(u8::from(labels[i / classes] as usize == i % classes));
        let hot: Vec<f64> = (0..rows * classes).map(hot).collect();
        let (value, gradient) = oracle_heads::cross_entropy(&wide(&logits), &hot, classes);
        failures.compare(&what("entropy"), &run.f32("entropy"), &[value], 4e-6);
        let d_logits = run.halves("d logits", logits.len());
        failures.compare(&what("d logits"), &d_logits, &scaled(gradient), tolerance);
    }
    failures.report();
}

/// The end of a step in mixed precision, run once on gradients that are `scale` times too large; or, without a
/// scale, the same in f32.
fn update(setup: &Setup, scale: Option<f32>, good_steps: u32) -> Results {
    let factor = scale.unwrap_or(1.0);
    let grads: Vec<f32> = normal(1, LEN).iter().map(|g| g * factor).collect();
    let mut bench = Bench::new(setup);
    if scale.is_some() {
        bench.rec.set_precision(Precision::F16);
    }
    let zeros = vec![0.0; LEN];
    let slab = SlabTensors {
        values: bench.input("value", &[LEN], &normal(2, LEN)),
        grads: bench.input("grad", &[LEN], &grads),
        moment1: bench.input("m", &[LEN], &zeros),
        moment2: bench.input("v", &[LEN], &zeros),
        halves: scale.map(|_| bench.half("half", &[LEN], &zeros)),
        averages: Some(bench.input("average", &[LEN], &normal(3, LEN))),
        decayed: 1024,
        lr_scale: 1.0,
    };
    let scalars: [u32; STEP_WORDS] = bytemuck::cast(Scalars { lr: 0.01, ..Default::default() });
    let step = bench.ids("step", &[STEP_WORDS], &scalars);
    let state = bench.ids(STATE, &[STATE_WORDS], &words(state_with(factor, good_steps)));
    let loss = bench.input("loss", &[1], &[0.5]);
    let metrics = bench.rec.external("metrics", [METRICS_RING, METRICS_WORDS]);
    adamw(&mut bench.rec, CONFIG, &[slab], StepTensors { step, state, loss, metrics });
    bench.run()
}

fn state(run: &Results) -> State {
    block_on(run.program.read::<State>(STATE)).expect("the state")[0]
}

fn metrics(run: &Results) -> Metrics {
    block_on(run.program.read::<Metrics>("metrics")).expect("metrics")[0]
}

/// A step on scaled gradients is the step on those of the loss itself, norm and clipping included; the copy is
/// the parameters rounded to f16.
#[test]
fn the_scale_is_taken_back() {
    let mut failures = Failures::default();
    for setup in setups() {
        let what = |name: &str| format!("{} {name}", setup.name);
        let plain = update(&setup, None, 0);
        let scaled = update(&setup, Some(4096.0), 7);
        for name in ["value", "m", "v", "average"] {
            // A power of two changes exponents only.
            failures.equal(&what(name), &scaled.f32(name), &plain.f32(name));
        }
        let values = scaled.f32("value");
        let copy = scaled.halves("half", LEN);
        failures.compare(&what("half"), &copy, &wide(&values), ROUNDING);
        let off = |(v, h): (&f32, &f32)| f64::from((v - h).abs()) > ROUNDING * f64::from(v.abs());
        let far = values.iter().zip(&copy).filter(|&pair| off(pair)).count();
        failures.ensure(far == 0, || what(&format!("{far} halves are not the values' own")));
        let (line, reference) = (metrics(&scaled), metrics(&plain));
        failures.equal(&what("norm"), &[line.grad_norm], &[reference.grad_norm]);
        failures.equal(&what("scales"), &[line.loss_scale, reference.loss_scale], &[4096.0, 1.0]);
        let State { loss_scale, good_steps, .. } = state(&scaled);
        failures.ensure((loss_scale, good_steps) == (4096.0, 8), || what("the scale moved"));
    }
    failures.report();
}

/// 2000 good steps double it; a step that is not finite halves it, is skipped and moves nothing.
#[test]
fn the_scale_grows_and_shrinks() {
    let mut failures = Failures::default();
    for setup in setups() {
        let what = |name: &str| format!("{} {name}", setup.name);
        let run = update(&setup, Some(1024.0), 1999);
        let after = state(&run);
        failures.ensure((after.loss_scale, after.good_steps) == (2048.0, 0), || {
            what(&format!("2000 good steps: {after:?}"))
        });
        let snapshot = || {
            let words = |name| run.f32(name).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            (["value", "m", "v"].map(words), run.halves("half", LEN))
        };
        let before = snapshot();
        let mut grads = run.f32("grad");
        grads[LEN - 1] = f32::INFINITY;
        run.program.write("grad", &grads);
        for (n, scale) in [(1, 1024.0), (2, 512.0)] {
            run.program.submit();
            let (line, after) = (metrics(&run), state(&run));
            failures.ensure(snapshot() == before, || what("a skipped step moved something"));
            let found = (after.loss_scale, after.good_steps, after.skipped_in_a_row, line.applied);
            failures.ensure(found == (scale, 0, n, 0), || what(&format!("overflow: {after:?}")));
            let powers = (after.beta1_power, after.beta2_power);
            failures.ensure(powers == (CONFIG.beta1, CONFIG.beta2), || what("powers moved"));
            failures.equal(&what("scale of the step"), &[line.loss_scale], &[2.0 * scale]);
        }
    }
    failures.report();
}
