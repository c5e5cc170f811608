//! include prelude/reduce
// Sum of squares of a slab of gradients, one partial sum per chunk; `step_end` adds them up.

struct Params { count: u32, chunks: u32, first_chunk: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grads: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

const CHUNK: u32 = 4096u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let chunk = group_index(group, groups);
    if (chunk >= params.chunks) { return; }
    let end = min((chunk + 1u) * CHUNK, params.count);
    var sum = 0.0;
    for (var i = chunk * CHUNK + lane; i < end; i += WG) { sum += grads[i] * grads[i]; }
    let squares = group_sum(lane, sum);
    if (lane == 0u) { partials[params.first_chunk + chunk] = squares; }
}
