//! Masks: the CPU twin of the generator, uniformity, independence, blocks and grids.

use webmae::ops::optimizer::{STEP_WORDS, Scalars};
use webmae::ops::{argsort, noise};
use webmae::philox::philox4x32;
use webmae::{MaskStrategy, ModelConfig, Variant};

use crate::bench::{Bench, Failures, Setup, normal, setups};
use crate::patchify::config;

const SEED: u64 = 0x0123_4567_89ab_cdef;
const VARIANTS: [Variant; 3] = [Variant::Paper, Variant::Plain, Variant::VitPytorch];

struct Drawn {
    noise: Vec<f32>,
    restore: Vec<u32>,
    shuffle: Vec<u32>,
}

fn draw(setup: &Setup, config: &ModelConfig, seed: u64, epoch: u32, samples: &[u32]) -> Drawn {
    let mut bench = Bench::new(setup);
    let scalars = Scalars { seed: [seed as u32, (seed >> 32) as u32], epoch, ..Default::default() };
    let step = bench.ids("step", &[STEP_WORDS], &bytemuck::cast::<_, [u32; STEP_WORDS]>(scalars));
    let ids = bench.ids("samples", &[samples.len()], samples);
    let noise = noise(&mut bench.rec, config, step, ids);
    bench.rec.keep(noise, "noise");
    let orders = argsort(&mut bench.rec, noise);
    bench.rec.keep(orders.shuffle, "shuffle");
    bench.rec.keep(orders.restore, "restore");
    let run = bench.run();
    let noise = run.f32("noise");
    Drawn { noise, restore: run.u32("restore"), shuffle: run.u32("shuffle") }
}

/// Whether each patch is masked.
fn masked(config: &ModelConfig, drawn: &Drawn) -> Vec<bool> {
    let hidden = |&rank: &u32| match config.variant {
        Variant::Paper => rank as usize >= config.len_keep(),
        _ => (rank as usize) < config.num_masked(),
    };
    drawn.restore.iter().map(hidden).collect()
}

fn with(grid: [usize; 2], ratio: f64, strategy: MaskStrategy, variant: Variant) -> ModelConfig {
    let mut config = config(grid, [1, 1], 1);
    (config.mask_ratio, config.mask_strategy, config.variant) = (ratio, strategy, variant);
    config
}

/// Pairs of neighbours of which one is masked and one is not.
fn edges(mask: &[bool], [h, w]: [usize; 2]) -> usize {
    let at = |y: usize, x: usize| mask[y * w + x];
    let pairs = (0..h).flat_map(|y| (0..w).map(move |x| (y, x)));
    pairs
        .map(|(y, x)| {
            usize::from(x + 1 < w && at(y, x) != at(y, x + 1))
                + usize::from(y + 1 < h && at(y, x) != at(y + 1, x))
        })
        .sum()
}

#[test]
fn noise_is_philox_of_patch_sample_and_epoch() {
    let mut failures = Failures::default();
    for (setup, grid) in
        setups().iter().flat_map(|s| [[1, 1], [1, 7], [9, 7], [5, 13], [14, 14]].map(|g| (s, g)))
    {
        let samples = [0, 1, 77, u32::MAX, 3];
        for epoch in [0, 1, 1000] {
            let config = with(grid, 0.75, MaskStrategy::Random, Variant::Paper);
            let drawn = draw(setup, &config, SEED, epoch, &samples);
            let key = [SEED as u32, (SEED >> 32) as u32];
            let patch = |sample: u32, i: usize| {
                let words = philox4x32([i as u32 / 4, sample, epoch, 0], key);
                (words[i % 4] >> 8) as f32 / 16_777_216.0
            };
            let expected: Vec<f32> = samples
                .iter()
                .flat_map(|&s| (0..config.num_patches()).map(move |i| patch(s, i)))
                .collect();
            failures.equal(&format!("{} {grid:?} {epoch}", setup.name), &drawn.noise, &expected);
        }
    }
    failures.report();
}

/// Rank by rank against a stable sort, with ties and signed zeros.
#[test]
fn argsort_is_stable() {
    let mut failures = Failures::default();
    for (setup, [batch, n]) in setups()
        .iter()
        .flat_map(|s| [[1, 1], [3, 7], [65, 63], [2, 65], [5, 197], [1, 1025]].map(|z| (s, z)))
    {
        // A tenth's precision: many equal values.
        let noise: Vec<f32> =
            normal(1, batch * n).iter().map(|x| (10.0 * x).round() / 10.0).collect();
        let mut bench = Bench::new(setup);
        let input = bench.input("noise", &[batch, n], &noise);
        let ids = argsort(&mut bench.rec, input);
        bench.rec.keep(ids.shuffle, "shuffle");
        bench.rec.keep(ids.restore, "restore");
        let run = bench.run();
        let (mut shuffle, mut restore) = (Vec::new(), vec![0; batch * n]);
        for (b, row) in noise.chunks(n).enumerate() {
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.sort_by(|&i, &j| row[i as usize].partial_cmp(&row[j as usize]).unwrap());
            for (rank, &i) in order.iter().enumerate() {
                restore[b * n + i as usize] = rank as u32;
            }
            shuffle.extend(order);
        }
        let what = |part: &str| format!("{} argsort {batch}×{n} {part}", setup.name);
        failures.equal(&what("shuffle"), &run.u32("shuffle"), &shuffle);
        failures.equal(&what("restore"), &run.u32("restore"), &restore);
    }
    failures.report();
}

#[test]
fn random_masks_are_uniform_and_depend_on_sample_epoch_and_seed_alone() {
    let mut failures = Failures::default();
    let setup = &setups()[0];
    let samples: Vec<u32> = (0..4000).collect();
    for variant in VARIANTS {
        let grid = [7, 7];
        let config = with(grid, 0.75, MaskStrategy::Random, variant);
        let patches = config.num_patches();
        let of = |seed, epoch, samples: &[u32]| {
            masked(&config, &draw(setup, &config, seed, epoch, samples))
        };
        let masks = of(SEED, 5, &samples);
        let (n, p) = (samples.len() as f64, config.num_masked() as f64 / patches as f64);
        let mut chi_square = 0.0;
        for i in 0..patches {
            let count = masks.chunks(patches).filter(|mask| mask[i]).count() as f64;
            chi_square += (count - n * p).powi(2) / (n * p * (1.0 - p));
        }
        // About a chi-square with L − 1 degrees of freedom, times L / (L − 1): mean 49, standard
        // deviation 10. The draw is fixed; five deviations leave room for none but a flaw.
        failures.ensure((10.0..100.0).contains(&chi_square), || {
            format!("{variant:?}: chi-square {chi_square} of {patches} patches")
        });
        for mask in masks.chunks(patches) {
            let count = mask.iter().filter(|&&m| m).count();
            failures
                .ensure(count == config.num_masked(), || format!("{variant:?}: {count} masked"));
        }
        // Neighbouring samples agree as often as independent draws do.
        let agree = masks.iter().zip(&masks[patches..]).filter(|(a, b)| a == b).count() as f64;
        let share = agree / (masks.len() - patches) as f64;
        let wanted = p * p + (1.0 - p) * (1.0 - p);
        failures.ensure((share - wanted).abs() < 0.01, || {
            format!("{variant:?}: neighbours agree on {share:.4}, not {wanted:.4}")
        });
        let first = &masks[..64 * patches];
        failures
            .ensure(of(SEED, 6, &samples[..64]) != first, || "the epoch changes nothing".into());
        failures.ensure(of(SEED ^ 1, 5, &samples[..64]) != first, || "nor the low word".into());
        failures.ensure(of(SEED ^ (1 << 32), 5, &samples[..64]) != first, || "nor the high".into());
        // The same samples in another batch, at other places.
        let some = of(SEED, 5, &[9, 3, 3999]);
        let expected: Vec<bool> = [9, 3, 3999]
            .iter()
            .flat_map(|&s: &usize| masks[s * patches..][..patches].to_vec())
            .collect();
        failures.equal("another batch", &some, &expected);
    }
    failures.report();
}

#[test]
fn block_masks_are_exact_and_contiguous() {
    let mut failures = Failures::default();
    let samples: Vec<u32> = (0..200).collect();
    for setup in setups().iter().filter(|s| !s.checked) {
        for (variant, ratio) in VARIANTS.iter().flat_map(|&v| [0.4, 0.5, 0.75].map(|r| (v, r))) {
            let grid = [14, 14];
            let of = |strategy, samples: &[u32]| {
                let config = with(grid, ratio, strategy, variant);
                masked(&config, &draw(setup, &config, SEED, 0, samples))
            };
            let blocks = of(MaskStrategy::Block, &samples);
            let random = of(MaskStrategy::Random, &samples);
            let count = |masks: &[bool]| -> usize {
                masks.chunks(14 * 14).map(|mask| edges(mask, grid)).sum()
            };
            let (block_edges, random_edges) = (count(&blocks), count(&random));
            let what = format!("{} {variant:?} {ratio}", setup.name);
            failures.ensure(2 * block_edges < random_edges, || {
                format!("{what}: {block_edges} edges, {random_edges} of random masks")
            });
            failures.ensure(blocks[..196] != blocks[196..392], || format!("{what}: samples agree"));
            let some = of(MaskStrategy::Block, &[7]);
            failures.equal(&format!("{what}: another batch"), &some, &blocks[7 * 196..8 * 196]);
        }
    }
    failures.report();
}

/// Every strategy at any ratio on any grid: it ends, and exactly `num_masked` patches are masked.
/// What blocks have masked lies on one side of what they have not.
#[test]
fn any_ratio_and_grid_has_its_exact_count() {
    let grids = [[1, 1], [1, 2], [1, 9], [9, 1], [2, 2], [3, 5], [1, 64], [65, 1], [8, 6]];
    let ratios = [0.0, 0.01, 0.25, 0.5, 0.6, 0.75, 0.9, 0.99, 0.999];
    let mut failures = Failures::default();
    let samples = [0, 1, 2, 500, 4_000_000_000];
    let strategies = [MaskStrategy::Random, MaskStrategy::Block, MaskStrategy::Grid];
    for (setup, strategy) in
        setups().iter().filter(|s| !s.checked).flat_map(|s| strategies.map(|t| (s, t)))
    {
        for (grid, ratio) in grids.iter().flat_map(|&g| ratios.map(|r| (g, r))) {
            let variant = VARIANTS[(grid[0] + grid[1]) % 3];
            let config = with(grid, ratio, strategy, variant);
            let drawn = draw(setup, &config, SEED, 2, &samples);
            let patches = config.num_patches();
            let what = format!("{} {strategy:?} {variant:?} {grid:?} {ratio}", setup.name);
            for (b, mask) in masked(&config, &drawn).chunks(patches).enumerate() {
                let count = mask.iter().filter(|&&m| m).count();
                failures.ensure(count == config.num_masked(), || format!("{what}: {count} masked"));
                let mut order = drawn.shuffle[b * patches..][..patches].to_vec();
                order.sort_unstable();
                failures.ensure(order.iter().copied().eq(0..patches as u32), || {
                    format!("{what}: the order is no permutation")
                });
                if ratio == 0.0 {
                    failures.ensure(mask.iter().all(|m| !m), || format!("{what}: one is masked"));
                }
            }
            // Nothing is placed on more than was asked for.
            let placed = drawn.noise.iter().filter(|n| n.abs() >= 1.0).count();
            failures.ensure(
                strategy != MaskStrategy::Block || placed <= samples.len() * config.num_masked(),
                || format!("{what}: {placed} patches in blocks"),
            );
        }
    }
    failures.report();
}

#[test]
fn grid_masks_keep_one_of_every_two_by_two() {
    let mut failures = Failures::default();
    for setup in setups() {
        for (variant, grid) in VARIANTS
            .iter()
            .flat_map(|&v| [[2, 2], [8, 8], [14, 14], [16, 8], [4, 18]].map(|g| (v, g)))
        {
            let config = with(grid, 0.75, MaskStrategy::Grid, variant);
            let mask = masked(&config, &draw(&setup, &config, SEED, 1, &[11]));
            let [h, w] = grid;
            for (y, x) in (0..h / 2).flat_map(|y| (0..w / 2).map(move |x| (y, x))) {
                let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
                let kept = cells.iter().filter(|(r, c)| !mask[(2 * y + r) * w + 2 * x + c]).count();
                failures.ensure(kept == 1, || {
                    format!("{} {variant:?} {grid:?}: {kept} kept at {y}, {x}", setup.name)
                });
            }
        }
    }
    failures.report();
}
