//! include prelude/reduce
// Adds the scaled sum of per-item losses to the step's loss, in a fixed order.

struct Params { count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> item_loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>; // [1]

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < params.count; i += WG) { sum += item_loss[i]; }
    let total = group_sum(lane, sum);
    if (lane == 0u) { loss[0] += total * params.scale; }
}
