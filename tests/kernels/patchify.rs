//! Images to patches: exact, in both orders, whole or gathered.

use webmae::ModelConfig;
use webmae::kernels::Precision;
use webmae::ops::{Flatten, patchify};
use webmae::philox::Rng;

use crate::bench::{Bench, Failures, normal, setups};
use crate::oracle_heads;

/// A grid of h×w patches of p×q pixels.
pub fn config([h, w]: [usize; 2], [p, q]: [usize; 2], channels: usize) -> ModelConfig {
    let mut config = ModelConfig::preset("tiny").expect("a preset");
    config.image_size = [h * p, w * q];
    config.patch_size = [p, q];
    config.channels = channels;
    config
}

/// A random order of the patches of every sample.
pub fn random_orders(batch: usize, patches: usize) -> Vec<u32> {
    let mut rng = Rng::new(3, [batch as u32, patches as u32, 0]);
    let order = |_| {
        let mut ids: Vec<u32> = (0..patches as u32).collect();
        rng.shuffle(&mut ids);
        ids
    };
    (0..batch).flat_map(order).collect()
}

#[test]
fn patches() {
    let cases = [
        (1, [1, 1], [1, 1], 1),
        (2, [3, 5], [4, 2], 3),
        (3, [7, 1], [1, 7], 4),
        (1, [1, 9], [3, 3], 7),
        (2, [4, 4], [4, 4], 3),
        (1, [13, 15], [2, 3], 1),
    ];
    let mut failures = Failures::default();
    for (setup, (batch, grid, patch, channels)) in
        setups().iter().flat_map(|s| cases.map(|c| (s, c)))
    {
        let config = config(grid, patch, channels);
        let patches = config.num_patches();
        let images = normal(1, batch * config.image_len());
        let order = random_orders(batch, patches);
        for flatten in [Flatten::ChannelFirst, Flatten::ChannelLast] {
            let mut bench = Bench::new(setup);
            let [height, width] = config.image_size;
            let input = bench.input("images", &[batch, channels, height, width], &images);
            let ids = bench.ids("ids", &[batch, patches], &order);
            let all = patchify(&mut bench.rec, &config, input, flatten, Precision::F32, None);
            bench.rec.keep(all, "all");
            let (first, n) = (patches / 3, patches - patches / 3 - patches / 4);
            let some = patchify(
                &mut bench.rec,
                &config,
                input,
                flatten,
                Precision::F32,
                Some((ids, first, n)),
            );
            bench.rec.keep(some, "some");
            let run = bench.run();
            let expected = oracle_heads::patchify(&config, &images, flatten);
            let row = config.patch_dim();
            let gathered: Vec<f32> = (0..batch)
                .flat_map(|b| (first..first + n).map(move |rank| b * patches + rank))
                .flat_map(|place| {
                    let b = place / patches;
                    let at = (b * patches + order[place] as usize) * row;
                    expected[at..at + row].to_vec()
                })
                .collect();
            let what = |part: &str| {
                format!("{} {grid:?} of {patch:?}×{channels} {flatten:?} {part}", setup.name)
            };
            failures.equal(&what("all"), &run.f32("all"), &expected);
            failures.equal(&what("some"), &run.f32("some"), &gathered);
        }
    }
    failures.report();
}
