//! needs gpu
//! include gemm/epilogue
// The end of a product whose sum over K workgroups shared: adds up its parts, then the epilogue. An invocation has
// four neighbouring outputs.

#operand 5 read parts: f32 // [parts, M, N]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, nwg) * 64u + lane;
    let vectors = (params.n + 3u) / 4u;
    let row = i / vectors;
    if (row >= params.m) {
        return;
    }
    let col = i % vectors * 4u;
    let rest = params.n - col;
    var sum = vec4<f32>();
    for (var k = 0u; k < params.k; k += params.k_part) {
        sum += load_parts((k / params.k_part * params.m + row) * params.n + col, rest);
    }
    store(row, col, sum, bias_of(col));
}
