//! Dropout: the masks' definition, forward and backward, and whether they are random.

use webmae::kernels::Precision;
use webmae::ops::optimizer::Scalars;
use webmae::ops::{self, Dropout, Heads};
use webmae::philox::philox4x32;

use crate::bench::{Bench, Failures, Setup, halves, normal, setups};

/// A site of the network in a step.
#[derive(Clone)]
pub struct Site {
    pub rate: f64,
    pub number: u32,
    pub scalars: Scalars,
    pub sample_ids: Vec<u32>,
}

impl Site {
    /// With some seed and samples.
    pub fn new(batch: usize, rate: f64) -> Self {
        Self {
            rate,
            number: 5,
            scalars: Scalars { epoch: 3, ..Scalars::seeded(0x1234_5678_9abc_def0) },
            sample_ids: (0..batch as u32).map(|i| i * i + 17).collect(),
        }
    }

    /// The site with its inputs.
    pub fn bind(&self, bench: &mut Bench) -> Dropout {
        let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&self.scalars));
        Dropout {
            rate: self.rate,
            step: bench.ids("step", &[words.len()], words),
            sample_ids: bench.ids("sample_ids", &[self.sample_ids.len()], &self.sample_ids),
            site: self.number,
        }
    }

    /// The factor of a sample's value of this number, by the definition: value i is dropped where word i % 4 of
    /// Philox with the counter (i / 4, sample's number, epoch, "DROPOUT" + site) and the seed as its key is below
    /// rate · 2³².
    pub fn factor(&self, sample: usize, value: usize) -> f32 {
        let Scalars { seed, epoch, .. } = self.scalars;
        let site = 0x0D20_9007 + self.number;
        let counter = [value as u32 / 4, self.sample_ids[sample], epoch, site];
        let word = philox4x32(counter, seed)[value % 4];
        let dropped = f64::from(word) < (self.rate * 2.0_f64.powi(32)).floor();
        if dropped { 0.0 } else { (1.0 / (1.0 - self.rate)) as f32 }
    }

    /// The factors of `x [B, ..]`.
    fn factors(&self, len: usize) -> Vec<f32> {
        let per_sample = len / self.sample_ids.len();
        (0..len).map(|i| self.factor(i / per_sample, i % per_sample)).collect()
    }
}

/// What becomes of `x` and of the gradient `dy`, which is added to `existing` if there is one.
fn run(
    setup: &Setup,
    precision: Precision,
    shape: &[usize],
    site: &Site,
    [x, dy]: [&[f32]; 2],
    existing: Option<&[f32]>,
) -> [Vec<f32>; 2] {
    let mut bench = Bench::new(setup);
    let x_in = match (precision, existing) {
        (Precision::F16, _) => bench.half_variable("x", shape, x),
        (Precision::F32, None) => bench.variable("x", shape, x),
        (Precision::F32, Some(existing)) => bench.variable_with_grad("x", shape, x, existing),
    };
    let dropout = site.bind(&mut bench);
    let y = ops::dropout(&mut bench.rec, x_in, dropout);
    bench.rec.keep(y, "y");
    match precision {
        Precision::F32 => bench.backward(y, dy),
        Precision::F16 => bench.half_backward(y, dy),
    }
    bench.keep_grad(x_in, "x");
    let run = bench.run();
    match precision {
        Precision::F32 => [run.f32("y"), run.f32("d x")],
        Precision::F16 => [run.halves("y", x.len()), run.halves("d x", x.len())],
    }
}

#[test]
fn dropouts() {
    let mut failures = Failures::default();
    let shapes: [&[usize]; 7] =
        [&[1, 1], &[7, 63], &[3, 7, 65], &[2, 65, 64], &[65, 1, 1], &[197, 3, 7], &[2, 3, 19_001]];
    for setup in setups() {
        for (shape, rate) in shapes.into_iter().zip([0.1, 0.5, 0.9].into_iter().cycle()) {
            let n = shape.iter().product();
            let site = Site::new(shape[0], rate);
            let factors = site.factors(n);
            let (x, dy, old) = (normal(1, n), normal(2, n), normal(3, n));
            let what = |part: &str| format!("{} {shape:?} at {rate}: {part}", setup.name);
            let times = |values: &[f32]| -> Vec<f32> {
                values.iter().zip(&factors).map(|(value, factor)| value * factor).collect()
            };
            let [y, d_x] = run(&setup, Precision::F32, shape, &site, [&x, &dy], None);
            failures.equal(&what("y"), &y, &times(&x));
            failures.equal(&what("d x"), &d_x, &times(&dy));
            let [_, d_x] = run(&setup, Precision::F32, shape, &site, [&x, &dy], Some(&old));
            let wanted: Vec<f32> = times(&dy).iter().zip(&old).map(|(dy, old)| old + dy).collect();
            failures.equal(&what("d x added"), &d_x, &wanted);
            let (x, dy) = (halves(&x), halves(&dy));
            let [y, d_x] = run(&setup, Precision::F16, shape, &site, [&x, &dy], None);
            let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
            failures.compare(&what("y in f16"), &y, &wide(times(&x)), 5e-4);
            failures.compare(&what("d x in f16"), &d_x, &wide(times(&dy)), 5e-4);
            let zeros =
                |values: &[f32]| -> Vec<bool> { values.iter().map(|&v| v == 0.0).collect() };
            failures.equal(&what("mask in f16"), &zeros(&y), &zeros(&times(&x)));
        }
    }
    failures.report();
}

#[test]
fn a_rate_of_nothing_changes_no_bit() {
    let mut failures = Failures::default();
    let (x, dy) = (normal(1, 7 * 63), normal(2, 7 * 63));
    for setup in setups() {
        for rate in [0.0, 1e-11] {
            let site = Site::new(7, rate);
            let [y, d_x] = run(&setup, Precision::F32, &[7, 63], &site, [&x, &dy], None);
            failures.equal(&format!("{} y at {rate}", setup.name), &y, &x);
            failures.equal(&format!("{} d x at {rate}", setup.name), &d_x, &dy);
        }
    }
    failures.report();
}

/// A share of `n` independent draws lies within five standard errors of `expected`.
fn is_share(count: usize, n: usize, expected: f64) -> bool {
    let error = (expected * (1.0 - expected) / n as f64).sqrt();
    (count as f64 / n as f64 - expected).abs() <= 5.0 * error
}

/// Which of a million values are dropped.
fn mask(setup: &Setup, site: &Site) -> Vec<bool> {
    let shape = [site.sample_ids.len(), 1 << 18];
    let ones = vec![1.0; shape.iter().product()];
    let [y, _] = run(setup, Precision::F32, &shape, site, [&ones, &ones], None);
    y.iter().map(|&y| y == 0.0).collect()
}

#[test]
fn values_are_dropped_as_often_as_they_should_and_each_by_its_own_chance() {
    let [setup, ..] = setups();
    for rate in [0.01, 0.1, 0.5, 0.75] {
        let site = Site { sample_ids: vec![0, 1, 2, u32::MAX], ..Site::new(4, rate) };
        let drops = mask(&setup, &site);
        let n = drops.len();
        let count = |drops: &[bool]| drops.iter().filter(|&&drop| drop).count();
        assert!(is_share(count(&drops), n, rate), "{} of {n} at {rate}", count(&drops));
        for (sample, drops) in drops.chunks_exact(n / 4).enumerate() {
            let count = count(drops);
            assert!(is_share(count, n / 4, rate), "sample {sample}: {count} at {rate}");
            // Each of four that are drawn together.
            for place in 0..4 {
                let count = drops.iter().skip(place).step_by(4).filter(|&&drop| drop).count();
                assert!(is_share(count, n / 16, rate), "place {place}: {count} at {rate}");
            }
        }
        // Of the same value: in other samples, at another site, in another epoch, with another seed, of its neighbours.
        let other = |change: fn(&mut Site)| {
            let mut site = site.clone();
            change(&mut site);
            mask(&setup, &site)
        };
        let mut moved = drops.clone();
        moved.rotate_left(1);
        let mut of_next_sample = drops.clone();
        of_next_sample.rotate_left(n / 4);
        let others = [
            ("neighbour", moved),
            ("sample", of_next_sample),
            ("site", other(|site| site.number += 1)),
            ("epoch", other(|site| site.scalars.epoch += 1)),
            ("seed", other(|site| site.scalars.seed[1] += 1)),
        ];
        for (what, other) in others {
            let both = drops.iter().zip(&other).filter(|&(&a, &b)| a && b).count();
            assert!(is_share(both, n, rate * rate), "{what}: {both} both dropped at {rate}");
        }
    }
}

#[test]
fn a_sample_is_treated_alike_in_every_batch() {
    let [setup, ..] = setups();
    let of = |ids: &[u32], place: usize| {
        let site = Site { sample_ids: ids.to_vec(), ..Site::new(ids.len(), 0.3) };
        mask(&setup, &site)[place << 18..(place + 1) << 18].to_vec()
    };
    assert!(of(&[7, 8, 9], 1) == of(&[4, 9, 3, 8], 3));
}

/// Over many masks the mean of attention with dropped probabilities is attention.
#[test]
fn the_mean_of_dropped_attention_is_attention() {
    const RUNS: u32 = 400;
    const SIZES: [usize; 4] = [2, 9, 3, 8];
    let [batch, tokens, count, dim] = SIZES;
    let values = SIZES.iter().product();
    let qkv = normal(1, 3 * values);
    let [setup, ..] = setups();
    let mut bench = Bench::new(&setup);
    let qkv_in = bench.input("qkv", &[batch, tokens, 3 * count * dim], &qkv);
    let heads = Heads { count, dim };
    let site = Site::new(batch, 0.25);
    let dropout = site.bind(&mut bench);
    for (label, dropout) in [("whole", None), ("dropped", Some(dropout))] {
        let y = ops::attention(&mut bench.rec, qkv_in, heads, dropout);
        bench.rec.keep(y, label);
    }
    let run = bench.run();
    let mut sums = vec![[0.0; 2]; values];
    for epoch in 0..RUNS {
        run.program.write("step", &[Scalars { epoch, ..site.scalars }]);
        run.program.submit();
        for (sums, y) in sums.iter_mut().zip(run.f32("dropped")) {
            *sums = [sums[0] + f64::from(y), sums[1] + f64::from(y).powi(2)];
        }
    }
    let n = f64::from(RUNS);
    let distance = |(&[sum, squares], y): (&[f64; 2], &f32)| {
        let mean = sum / n;
        let error = ((squares / n - mean * mean) / n).sqrt();
        (mean - f64::from(*y)) / error
    };
    let distances: Vec<f64> = sums.iter().zip(&run.f32("whole")).map(distance).collect();
    let worst = distances.iter().fold(0.0_f64, |worst, d| worst.max(d.abs()));
    assert!(worst < 5.0, "{worst} standard errors");
    let spread = distances.iter().map(|d| d * d).sum::<f64>() / distances.len() as f64;
    assert!((0.5..2.0).contains(&spread), "{spread}: the means are no means");
}
