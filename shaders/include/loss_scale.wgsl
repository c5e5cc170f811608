// In mixed precision gradients are computed from a scaled loss, lest small ones vanish in f16;
// `step_end` chooses the factor and takes it back.

@group(0) @binding(6) var<storage, read> state: array<f32>; // `optim::State`, with SCALED

override SCALED: bool = false;
/// The factor's place in the state.
const LOSS_SCALE: u32 = 8u;

fn loss_scale() -> f32 {
    if (SCALED) { return state[LOSS_SCALE]; }
    return 1.0;
}
