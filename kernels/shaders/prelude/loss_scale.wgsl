// In mixed precision gradients are computed from a scaled loss, lest small ones vanish in f16;
// `step_end` chooses the factor and takes it back.

@group(0) @binding(6) var<storage, read> state: State; // with SCALED

override SCALED: bool = false;

fn loss_scale() -> f32 {
    if (SCALED) { return state.loss_scale; }
    return 1.0;
}
