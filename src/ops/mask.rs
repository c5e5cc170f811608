//! Which patches are masked: noise per patch and its argsort.

use super::groups_of_lanes;
use crate::config::{MaskStrategy, ModelConfig};
use crate::program::{Recorder, Tensor};

/// A mask as orders of patches.
#[derive(Debug, Clone, Copy)]
pub struct MaskIds {
    /// `[B, L]`: patches from smallest to largest noise.
    pub shuffle: Tensor,
    /// `[B, L]`: each patch's place in that order.
    pub restore: Tensor,
}

/// Noise `[B, L]` for `config`'s strategy, drawn from the step's seed and epoch and each sample's
/// number, so that a sample's mask depends on neither its batch nor the platform.
pub fn noise(rec: &mut Recorder, config: &ModelConfig, step: Tensor, sample_ids: Tensor) -> Tensor {
    let batch = rec.len(sample_ids);
    let patches = config.num_patches();
    let [grid_h, grid_w] = config.grid();
    let noise = rec.transient("noise", [batch, patches]);
    let bindings = [step, sample_ids, noise];
    let smallest = ("MASKS_SMALLEST", u32::from(config.variant.masks_smallest()));
    if config.mask_strategy == MaskStrategy::Block {
        // BEiT's blocks cover at least 16 of 196 patches.
        let min_area = (patches * 16 / 196).max(1);
        let uniform = [batch, grid_h, grid_w, config.num_masked(), min_area].map(|n| n as u32);
        rec.dispatch("noise_block", &[smallest], &uniform, &bindings, batch.div_ceil(8));
    } else {
        let grid = ("GRID", u32::from(config.mask_strategy == MaskStrategy::Grid));
        let count = batch * patches.div_ceil(4);
        let uniform = [batch, patches, grid_w, count].map(|n| n as u32);
        rec.dispatch("noise", &[grid, smallest], &uniform, &bindings, groups_of_lanes(count));
    }
    noise
}

/// Stable argsort of `noise [B, L]` along the patches.
pub fn argsort(rec: &mut Recorder, noise: Tensor) -> MaskIds {
    let &[batch, patches] = rec.shape(noise) else { panic!("noise is [B, L]") };
    let shuffle = rec.transient("ids_shuffle", [batch, patches]);
    let restore = rec.transient("ids_restore", [batch, patches]);
    let count = batch * patches;
    let uniform = [patches as u32, count as u32];
    rec.dispatch("argsort", &[], &uniform, &[noise, shuffle, restore], groups_of_lanes(count));
    MaskIds { shuffle, restore }
}
