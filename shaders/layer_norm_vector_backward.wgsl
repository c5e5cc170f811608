//! include layer_norm_rows_backward
// Operands in storage buffers.

@group(0) @binding(1) var<storage, read> dy: array<act4>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<act4>; // [rows, D]
@group(0) @binding(3) var<storage, read> gamma: array<vec4<f32>>; // [D]

fn load_dy(i: u32) -> vec4<f32> { return vec4<f32>(dy[i]); }
fn load_x(i: u32) -> vec4<f32> { return vec4<f32>(x[i]); }
fn load_gamma(v: u32) -> vec4<f32> { return gamma[v]; }
