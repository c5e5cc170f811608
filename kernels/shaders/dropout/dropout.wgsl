//! needs dropout
//! include prelude/step
//! include prelude/philox
//! include prelude/dropout
// Some values of every sample are dropped, the others made larger to make up for it: the forward pass of dropout,
// and its gradient.

struct Params {
    per_sample: u32,
    quads: u32, // of a sample: its values by fours, the last of which may be partly empty
    count: u32, // B · quads
    site: u32, // of the network; each has masks of its own
    threshold: u32, // of a random word, below which a value is dropped: p · 2³²
    factor: f32, // of the values that stay: 1 / (1 − p)
}

@group(0) @binding(0) var<uniform> params: Params;
#operand 3 read x: act // [B, ..]
#operand 4 write out: act // [B, ..]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let index = group_index(group, groups) * 64u + lane;
    if (index >= params.count) { return; }
    let sample = index / params.quads;
    let quad = index - sample * params.quads;
    let at = sample * params.per_sample + quad * 4u;
    let rest = params.per_sample - quad * 4u;
    store_out(at, rest, load_x(at, rest) * dropout_factors(sample, quad));
}
