//! needs labels
//! include prelude/step
//! include prelude/reduce
// LARS (You et al. 2017) for one tensor, one workgroup: the gradient of a matrix is scaled by
// trust · |p| / |g|; the momentum holds scaled gradients without the learning rate (as in
// facebookresearch/mae's linear probe).

struct Params {
    count: u32,
    momentum: f32,
    weight_decay: f32,
    trust: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> state: State;
@group(0) @binding(3) var<storage, read> grad: array<f32>;
@group(0) @binding(4) var<storage, read_write> value: array<f32>;
@group(0) @binding(5) var<storage, read_write> velocity: array<f32>;

// Decay and trust ratio apply to tensors of more than one dimension.
override SCALED: bool = false;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    if (state.apply == 0u) { return; }
    var ratio = 1.0;
    var decay = 0.0;
    if (SCALED) {
        decay = params.weight_decay;
        var squares = vec2<f32>(0.0);
        for (var i = lane; i < params.count; i += WG) {
            let pair = vec2<f32>(value[i], grad[i] + decay * value[i]);
            squares += pair * pair;
        }
        let norms = sqrt(group_sum2(lane, squares));
        if (norms.x > 0.0 && norms.y > 0.0) { ratio = params.trust * norms.x / norms.y; }
    }
    for (var i = lane; i < params.count; i += WG) {
        let step_direction = (grad[i] + decay * value[i]) * ratio;
        let v = params.momentum * velocity[i] + step_direction;
        velocity[i] = v;
        value[i] -= step.lr * v;
    }
}
