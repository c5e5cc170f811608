//! What a step begins with: the structures that host, shaders and twins share.

use crate::{State, Step};

/// Factor of the loss with which mixed precision begins: torch.amp.GradScaler's.
pub const INITIAL_LOSS_SCALE: f32 = 65_536.0;

impl Step {
    /// The scalars of epoch 0 and step 0 under a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed: [seed as u32, (seed >> 32) as u32], ..Self::default() }
    }
}

impl Default for Step {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            beta1_power: 1.0,
            beta2_power: 1.0,
            clip: 1.0,
            apply: 0,
            updates: 0,
            skipped: 0,
            skipped_in_a_row: 0,
            good_steps: 0,
            loss_scale: INITIAL_LOSS_SCALE,
        }
    }
}
