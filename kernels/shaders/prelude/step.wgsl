// What the kernels of a step share besides tensors.

// Written before every step.
struct Step {
    seed: vec2<u32>, // of the masks, low word first
    epoch: u32,      // so that a sample's mask changes from one to the next
    step: u32,       // number of the step, from 0
    lr: f32,         // learning rate
    padding: u32,    // fills the structure
}

// The optimiser's state that is not per parameter.
struct State {
    beta1_power: f32,      // β₁ to the number of updates
    beta2_power: f32,      // β₂ to the number of updates
    clip: f32,             // clipping factor of the last step
    apply: u32,            // 1 if the last step was applied
    updates: u32,          // updates made
    skipped: u32,          // steps skipped
    skipped_in_a_row: u32, // steps skipped in a row
    good_steps: u32,       // mixed precision: steps made since the scale of the loss changed
    loss_scale: f32,       // mixed precision: factor of the loss of which gradients are computed
}
