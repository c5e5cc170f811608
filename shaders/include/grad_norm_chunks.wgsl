// `grad_norm` for CPU drivers: an invocation owns a chunk and reads it as vectors.

struct Params { count: u32, chunks: u32, first_chunk: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

const CHUNK: u32 = 4096u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let chunk = group_index(group, groups) * 8u + lane;
    if (chunk >= params.chunks) { return; }
    let end = min((chunk + 1u) * CHUNK, params.count) / 4u;
    var squares = vec4<f32>();
    for (var i = chunk * (CHUNK / 4u); i < end; i += 1u) {
        let g = load_grads(i);
        squares += g * g;
    }
    partials[params.first_chunk + chunk] = dot(squares, vec4<f32>(1.0));
}
