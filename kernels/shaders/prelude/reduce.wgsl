// Reductions over a workgroup, for kernels that come in both ways of `prelude/reduction`: `group_sum2` and
// `group_max` are there. Call them in uniform control flow.

// Invocations of a workgroup.
override WG: u32 = 64u;
var<workgroup> partial: array<vec2<f32>, 256>;

fn group_sum(lane: u32, value: f32) -> f32 {
    return group_sum2(lane, vec2<f32>(value, 0.0)).x;
}
