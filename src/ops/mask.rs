//! Which patches are masked: noise per patch and its argsort.

use super::groups_of_lanes;
use crate::config::{MaskStrategy, ModelConfig};
use crate::kernels::{argsort, noise, noise_block};
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
    let masks_smallest = config.variant.masks_smallest();
    if config.mask_strategy == MaskStrategy::Block {
        // BEiT's blocks cover at least 16 of 196 patches.
        let min_area = (patches * 16 / 196).max(1);
        let params = noise_block::Params {
            batch: batch as u32,
            grid_h: grid_h as u32,
            grid_w: grid_w as u32,
            num_masked: config.num_masked() as u32,
            min_area: min_area as u32,
        };
        let bindings = noise_block::Bindings { step, sample_ids, noise };
        let constants = noise_block::Constants { masks_smallest };
        rec.launch(params, constants, bindings, batch.div_ceil(8));
    } else {
        let count = batch * patches.div_ceil(4);
        let params = noise::Params {
            batch: batch as u32,
            patches: patches as u32,
            grid_w: grid_w as u32,
            count: count as u32,
        };
        let grid = config.mask_strategy == MaskStrategy::Grid;
        let bindings = noise::Bindings { step, sample_ids, noise };
        let constants = noise::Constants { grid, masks_smallest };
        rec.launch(params, constants, bindings, groups_of_lanes(count));
    }
    noise
}

/// Stable argsort of `noise [B, L]` along the patches.
pub fn argsort(rec: &mut Recorder, noise: Tensor) -> MaskIds {
    let &[batch, patches] = rec.shape(noise) else { panic!("noise is [B, L]") };
    let shuffle = rec.transient("ids_shuffle", [batch, patches]);
    let restore = rec.transient("ids_restore", [batch, patches]);
    let count = batch * patches;
    let params = argsort::Params { patches: patches as u32, count: count as u32 };
    let bindings = argsort::Bindings { noise, ids_shuffle: shuffle, ids_restore: restore };
    rec.launch(params, Default::default(), bindings, groups_of_lanes(count));
    MaskIds { shuffle, restore }
}
