//! What is masked: noise per patch, and its order.

use super::parallel::{self, Shared};
use crate::philox::philox4x32;
use crate::{Step, argsort as sort, noise as plain, noise_block as block};

/// Rejected rectangles in a row before the rest is left to chance.
const PATIENCE: u32 = 40;

/// Noise per patch whose order decides the mask: uniform (random strategy), or led by a regular lattice
/// (`grid`). The smallest values stay visible, or are masked with `masks_smallest`.
pub fn noise(params: &plain::Params, constants: &plain::Constants, slices: plain::Slices<'_>) {
    let patches = params.patches as usize;
    for (sample, noise) in slices
        .sample_ids
        .iter()
        .zip(slices.noise.chunks_exact_mut(patches))
        .take(params.batch as usize)
    {
        for (quad, noise) in noise.chunks_mut(4).enumerate() {
            let counter = [quad as u32, *sample, slices.step.epoch, 0];
            let words = philox4x32(counter, slices.step.seed);
            for (j, (noise, word)) in noise.iter_mut().zip(words).enumerate() {
                *noise = to_unit(word);
                if constants.grid {
                    let patch = (4 * quad + j) as u32;
                    *noise += lattice_rank(patch / params.grid_w, patch % params.grid_w) as f32;
                    if constants.masks_smallest {
                        *noise = -*noise;
                    }
                }
            }
        }
    }
}

/// Uniform in [0, 1) with 24 bits.
fn to_unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Rank of a cell in an ordered (Bayer) lattice of period 8: keeping the lowest ranks keeps an even spread of
/// patches at any ratio, and exactly one of every 2×2 at a quarter.
fn lattice_rank(row: u32, col: u32) -> u32 {
    (0..3).fold(0, |rank, bit| {
        let (r, c) = (row >> bit & 1, col >> bit & 1);
        rank * 4 + ((r ^ c) << 1 | r)
    })
}

/// Noise per patch for the block strategy: rectangles of random size and aspect, as in BEiT (Bao et al. 2021),
/// are placed until the number of masked patches is reached; what no rectangle fits into is filled at random.
/// Integers only decide, so every platform draws the same blocks.
pub fn noise_block(
    params: &block::Params,
    constants: &block::Constants,
    slices: block::Slices<'_>,
) {
    let patches = (params.grid_h * params.grid_w) as usize;
    let noise = Shared::new(slices.noise);
    parallel::each(params.batch as usize, |b| {
        // SAFETY: a sample has one task.
        let noise = unsafe { noise.part(b * patches, patches) };
        noise_of_blocks(params, slices.step, slices.sample_ids[b], noise);
        if constants.masks_smallest {
            noise.iter_mut().for_each(|value| *value = -*value);
        }
    });
}

fn noise_of_blocks(params: &block::Params, step: &Step, sample: u32, noise: &mut [f32]) {
    let (h, w) = (params.grid_h, params.grid_w);
    // Values below 1 are free, 1 and above are masked by a block.
    for (i, value) in (0..).zip(&mut *noise) {
        *value = to_unit(philox4x32([i, sample, step.epoch, 1], step.seed)[0]);
    }
    let mut masked = 0;
    let mut failures = 0;
    for draw in 0.. {
        if failures >= PATIENCE || masked >= params.num_masked {
            break;
        }
        let words = philox4x32([draw, sample, step.epoch, 2], step.seed);
        let (rows, cols) = (1 + words[0] % h, 1 + words[1] % w);
        let left = params.num_masked - masked;
        failures += 1;
        // Aspect between 0.3 and 1 / 0.3.
        if rows * cols < params.min_area.min(left) || 3 * rows > 10 * cols || 3 * cols > 10 * rows {
            continue;
        }
        let (top, start) = (words[2] % (h - rows + 1), words[3] % (w - cols + 1));
        let inside = || {
            (top..top + rows).flat_map(|r| (start..start + cols).map(move |c| (r * w + c) as usize))
        };
        let fresh = inside().filter(|&i| noise[i] < 1.0).count() as u32;
        if fresh == 0 || fresh > left {
            continue;
        }
        for i in inside() {
            if noise[i] < 1.0 {
                noise[i] += 1.0;
            }
        }
        masked += fresh;
        failures = 0;
    }
}

/// Stable argsort of each sample's noise: `ids_restore[i]` is a patch's rank, `ids_shuffle` its inverse.
pub fn argsort(params: &sort::Params, _: &sort::Constants, slices: sort::Slices<'_>) {
    let (patches, count) = (params.patches as usize, params.count as usize);
    let (shuffle, restore) = (Shared::new(slices.ids_shuffle), Shared::new(slices.ids_restore));
    parallel::each(count / patches, |b| {
        let noise = &slices.noise[b * patches..(b + 1) * patches];
        // SAFETY: a sample has one task.
        let (shuffle, restore) =
            unsafe { (shuffle.part(b * patches, patches), restore.part(b * patches, patches)) };
        for (i, id) in (0..).zip(&mut *shuffle) {
            *id = i;
        }
        // −0 and 0 are equal, as in the shader's comparisons.
        shuffle.sort_by(|&i, &j| (noise[i as usize] + 0.0).total_cmp(&(noise[j as usize] + 0.0)));
        for (rank, &id) in (0..).zip(&*shuffle) {
            restore[id as usize] = rank;
        }
    });
}
