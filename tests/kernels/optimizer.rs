//! The optimisers: AdamW over slabs with clipping and skipping, LARS per tensor.

use webmae::ops::optimizer::{
    AdamW, Lars, LarsTensors, METRICS_RING, METRICS_WORDS, Metrics, STATE_WORDS, STEP_WORDS,
    Scalars, SlabTensors, State, StepTensors, adamw, lars_param,
};

use pollster::block_on;

use crate::bench::{Bench, Failures, Results, Setup, all_setups, normal, wide};

const CONFIG: AdamW = AdamW {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.05,
    clip_norm: 0.0,
    ema: Some(0.25),
};
/// Lengths, decayed leading values, factor on the learning rate: around the chunk of 4096 and the
/// group of 64 lanes of 4 values.
const SLABS: [(usize, usize, f32); 4] =
    [(4, 0, 1.0), (256, 256, 0.5), (4100, 64, 1.0), (8260, 4096, 0.25)];

fn scalars(step: u32, lr: f32) -> Scalars {
    Scalars { step, lr, ..Default::default() }
}

fn words(state: State) -> Vec<u32> {
    bytemuck::cast_slice(&[state]).to_vec()
}

/// A recorded update of `slabs` (length, decayed, factor), its gradients `scale` times normal.
fn record(setup: &Setup, config: AdamW, slabs: &[(usize, usize, f32)], scale: f32) -> Results {
    let mut bench = Bench::new(setup);
    let mut tensors = Vec::new();
    for (i, &(len, decayed, lr_scale)) in slabs.iter().enumerate() {
        let stream = 10 * i as u32;
        let grads: Vec<f32> = normal(stream, len).iter().map(|g| g * scale).collect();
        let zeros = vec![0.0; len];
        tensors.push(SlabTensors {
            values: bench.input(&format!("value {i}"), &[len], &normal(stream + 1, len)),
            grads: bench.input(&format!("grad {i}"), &[len], &grads),
            moment1: bench.input(&format!("m {i}"), &[len], &zeros),
            moment2: bench.input(&format!("v {i}"), &[len], &zeros),
            halves: None,
            averages: Some(bench.input(&format!("average {i}"), &[len], &normal(stream + 5, len))),
            decayed,
            lr_scale,
        });
    }
    let first: [u32; STEP_WORDS] = bytemuck::cast(scalars(0, 0.01));
    let step = bench.ids("step", &[STEP_WORDS], &first);
    let state = bench.ids("state", &[STATE_WORDS], &words(State::default()));
    let loss = bench.input("loss", &[1], &[0.5]);
    let metrics = bench.rec.external("metrics", [METRICS_RING, METRICS_WORDS]);
    adamw(&mut bench.rec, config, &tensors, StepTensors { step, state, loss, metrics });
    bench.run()
}

fn metrics(run: &Results, step: usize) -> Metrics {
    let all: Vec<Metrics> = block_on(run.program.read("metrics")).expect("metrics");
    all[step % METRICS_RING]
}

fn state(run: &Results) -> State {
    block_on(run.program.read::<State>("state")).expect("the state")[0]
}

/// AdamW in f64 with PyTorch's order of operations; all values of one slab.
struct Reference {
    value: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    average: Vec<f64>,
}

impl Reference {
    fn step(&mut self, config: AdamW, g: &[f64], (decayed, lr): (usize, f64), t: i32) {
        let [beta1, beta2, eps, decay] =
            [config.beta1, config.beta2, config.eps, config.weight_decay].map(f64::from);
        let ema = f64::from(config.ema.expect("a decay"));
        for (i, g) in g.iter().enumerate() {
            if i < decayed {
                self.value[i] -= lr * decay * self.value[i];
            }
            self.m[i] = beta1 * self.m[i] + (1.0 - beta1) * g;
            self.v[i] = beta2 * self.v[i] + (1.0 - beta2) * g * g;
            let m_hat = self.m[i] / (1.0 - beta1.powi(t));
            let v_hat = self.v[i] / (1.0 - beta2.powi(t));
            self.value[i] -= lr * m_hat / (v_hat.sqrt() + eps);
            let decay = ema.min((1.0 + f64::from(t)) / (10.0 + f64::from(t)));
            self.average[i] = decay * self.average[i] + (1.0 - decay) * self.value[i];
        }
    }
}

/// Several steps with changing gradients and learning rates, with and without clipping.
#[test]
fn adamw_follows_the_f64_code() {
    let mut failures = Failures::default();
    for (setup, clip_norm) in all_setups().iter().flat_map(|s| [0.0, 3.0, 1e6].map(|c| (s, c))) {
        let config = AdamW { clip_norm, ..CONFIG };
        let run = record(setup, config, &SLABS, 1.0);
        let mut references: Vec<Reference> = Vec::new();
        for (i, &(len, ..)) in SLABS.iter().enumerate() {
            let value = wide(&normal(10 * i as u32 + 1, len));
            let (m, v) = (vec![0.0; len], vec![0.0; len]);
            let average = wide(&normal(10 * i as u32 + 5, len));
            references.push(Reference { value, m, v, average });
        }
        for t in 1..=4 {
            let lr = 0.01 / t as f32;
            let grads: Vec<Vec<f32>> = SLABS
                .iter()
                .enumerate()
                // The first step's gradients are the recorded ones.
                .map(|(i, &(len, ..))| normal((10 * i + if t > 1 { t } else { 0 }) as u32, len))
                .collect();
            if t > 1 {
                for (i, grads) in grads.iter().enumerate() {
                    run.program.write(&format!("grad {i}"), grads);
                }
                run.program.write("step", &[scalars(t as u32 - 1, lr)]);
                run.program.submit();
            }
            let squares: f64 = grads.iter().flatten().map(|&g| f64::from(g) * f64::from(g)).sum();
            let norm = squares.sqrt();
            let limit = f64::from(clip_norm);
            let clip = if limit > 0.0 && norm > limit { limit / (norm + 1e-6) } else { 1.0 };
            for (i, (reference, grads)) in references.iter_mut().zip(&grads).enumerate() {
                let clipped: Vec<f64> = grads.iter().map(|&g| f64::from(g) * clip).collect();
                let (_, decayed, lr_scale) = SLABS[i];
                let lr = f64::from(lr) * f64::from(lr_scale);
                reference.step(config, &clipped, (decayed, lr), t as i32);
            }
            let line = metrics(&run, t - 1);
            let what = |part: &str| format!("{} clip {clip_norm} step {t} {part}", setup.name);
            failures.compare(&what("norm"), &[line.grad_norm], &[norm], 2e-6);
            failures.compare(&what("clip"), &[state(&run).clip], &[clip], 2e-6);
            let expected = (0.5, lr, t as u32 - 1, 1, 0, 0, t as u32);
            let Metrics { loss, lr, step, applied, skipped, skipped_in_a_row, updates, .. } = line;
            let actual = (loss, lr, step, applied, skipped, skipped_in_a_row, updates);
            failures.ensure(actual == expected, || what(&format!("metrics {line:?}")));
        }
        for (i, reference) in references.iter().enumerate() {
            let what = |part: &str| format!("{} clip {clip_norm} slab {i} {part}", setup.name);
            // 1 − 0.95 in f32 is 2e-7 off, so the second moment is too.
            failures.compare(&what("m"), &run.f32(&format!("m {i}")), &reference.m, 2e-6);
            failures.compare(&what("v"), &run.f32(&format!("v {i}")), &reference.v, 4e-6);
            let value = run.f32(&format!("value {i}"));
            failures.compare(&what("value"), &value, &reference.value, 5e-7);
            let average = run.f32(&format!("average {i}"));
            failures.compare(&what("average"), &average, &reference.average, 5e-7);
        }
    }
    failures.report();
}

/// A moving average of 1, 2, 3, 4 from 0 on with a decay of 0.3, computed by hand: the decay is 2/11 and 3/12 at
/// first, then as configured. It is `decay * average + (1 - decay) * value`, as torch.optim.swa_utils has it.
#[test]
fn moving_averages_are_those_computed_by_hand() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        let config = AdamW { ema: Some(0.3), ..CONFIG };
        let run = record(&setup, config, &[(4, 0, 1.0)], 1.0);
        run.program.write("state", &[State::default()]);
        run.program.write("average 0", &[0.0f32; 4]);
        let expected = [9.0 / 11.0, 75.0 / 44.0, 1149.0 / 440.0, 15_767.0 / 4400.0];
        for (n, expected) in expected.into_iter().enumerate() {
            run.program.write("value 0", &[n as f32 + 1.0; 4]);
            // Without a learning rate values stay.
            run.program.write("step", &[scalars(n as u32, 0.0)]);
            run.program.submit();
            let what = format!("{} after {} updates", setup.name, n + 1);
            failures.compare(&what, &run.f32("average 0"), &[expected; 4], 2e-7);
        }
    }
    failures.report();
}

/// NaN or infinity in any gradient or in the loss: nothing moves, and the state counts it.
#[test]
fn steps_that_are_not_finite_are_skipped() {
    let mut failures = Failures::default();
    for setup in all_setups() {
        let run = record(&setup, AdamW { clip_norm: 1.0, ..CONFIG }, &SLABS, 1.0);
        let snapshot = |run: &Results| -> Vec<Vec<f32>> {
            let names = (0..SLABS.len())
                .flat_map(|i| ["value", "m", "v", "average"].map(|part| format!("{part} {i}")));
            names.map(|name| run.f32(&name)).collect()
        };
        let before = snapshot(&run);
        let last = SLABS.len() - 1;
        // Slab and place of a bad gradient (or the loss), and what it is. 3e38² overflows: the norm
        // itself is infinite.
        let faults = [
            (Some((0, 0)), f32::NAN),
            (Some((last, SLABS[last].0 - 1)), f32::INFINITY),
            (Some((2, 4096)), f32::NEG_INFINITY),
            (Some((1, 17)), 3e38),
            (None, f32::NAN),
            (None, f32::INFINITY),
        ];
        for (n, (place, value)) in faults.into_iter().enumerate() {
            let name = place.map_or("loss".to_owned(), |(slab, _)| format!("grad {slab}"));
            let good = run.f32(&name);
            let mut bad = good.clone();
            bad[place.map_or(0, |(_, at)| at)] = value;
            run.program.write(&name, &bad);
            run.program.write("step", &[scalars(1 + n as u32, 0.01)]);
            run.program.submit();
            run.program.write(&name, &good);
            let what = |part: &str| format!("{} {name} {value} {part}", setup.name);
            failures.equal(&what("changed"), &snapshot(&run), &before);
            let (line, state) = (metrics(&run, 1 + n), state(&run));
            let n = n as u32 + 1;
            let counts = (line.applied, line.skipped, line.skipped_in_a_row, line.updates);
            failures.ensure(counts == (0, n, n, 1), || what(&format!("{line:?}")));
            let counts = (state.apply, state.skipped, state.skipped_in_a_row, state.updates);
            failures.ensure(counts == (0, n, n, 1), || what(&format!("{state:?}")));
            let powers = (state.beta1_power, state.beta2_power);
            failures.ensure(powers == (CONFIG.beta1, CONFIG.beta2), || what("powers moved"));
        }
        // The next good step goes on where the last good one ended.
        run.program.write("step", &[scalars(9, 0.01)]);
        run.program.submit();
        let line = metrics(&run, 9);
        let counts = (line.applied, line.skipped, line.skipped_in_a_row, line.updates);
        failures.ensure(counts == (1, 6, 0, 2), || format!("{} then {line:?}", setup.name));
        failures.ensure(snapshot(&run) != before, || format!("{} stands still", setup.name));
    }
    failures.report();
}

#[test]
fn lars_follows_the_f64_code() {
    let config = Lars { momentum: 0.9, weight_decay: 0.01, trust: 0.001 };
    let mut failures = Failures::default();
    let shapes = [vec![1, 1], vec![7, 9], vec![65], vec![5, 13], vec![33, 63]];
    for (setup, (shape, zero)) in all_setups()
        .iter()
        .flat_map(|s| shapes.iter().flat_map(move |z| [(s, (z, false)), (s, (z, true))]))
    {
        let count: usize = shape.iter().product();
        // Zero parameters: there is no ratio of norms, the gradient is taken as it is.
        let value = if zero { vec![0.0; count] } else { normal(1, count) };
        let mut bench = Bench::new(setup);
        let first: [u32; STEP_WORDS] = bytemuck::cast(scalars(0, 0.5));
        let step = bench.ids("step", &[STEP_WORDS], &first);
        let applied = State { apply: 1, ..State::default() };
        let state = bench.ids("state", &[STATE_WORDS], &words(applied));
        let tensors = LarsTensors {
            grad: bench.input("grad", shape, &normal(2, count)),
            value: bench.input("value", shape, &value),
            velocity: bench.input("velocity", shape, &normal(3, count)),
        };
        lars_param(&mut bench.rec, config, [step, state], tensors);
        let run = bench.run();
        let (mut value, mut velocity) = (wide(&value), wide(&normal(3, count)));
        let [momentum, decay, trust] =
            [config.momentum, config.weight_decay, config.trust].map(f64::from);
        let scaled = shape.len() > 1;
        let decay = if scaled { decay } else { 0.0 };
        let direction: Vec<f64> =
            wide(&normal(2, count)).iter().zip(&value).map(|(g, p)| g + decay * p).collect();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let ratio = if scaled && !zero { trust * norm(&value) / norm(&direction) } else { 1.0 };
        for i in 0..count {
            velocity[i] = momentum * velocity[i] + ratio * direction[i];
            value[i] -= 0.5 * velocity[i];
        }
        let what = |part: &str| format!("{} lars {shape:?} zero {zero} {part}", setup.name);
        failures.compare(&what("value"), &run.f32("value"), &value, 1e-6);
        failures.compare(&what("velocity"), &run.f32("velocity"), &velocity, 1e-6);
        // A step that is skipped changes nothing.
        let before = (run.f32("value"), run.f32("velocity"));
        run.program.write("state", &[State::default()]);
        run.program.submit();
        let after = (run.f32("value"), run.f32("velocity"));
        failures.ensure(before == after, || what("changed by a skipped step"));
    }
    failures.report();
}
