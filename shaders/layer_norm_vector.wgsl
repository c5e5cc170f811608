//! include layer_norm_rows
// Operands in storage buffers.

@group(0) @binding(1) var<storage, read> x: array<act4>; // [rows, D]
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>; // [D]
@group(0) @binding(3) var<storage, read> beta: array<vec4<f32>>; // [D]

fn load_x(i: u32) -> vec4<f32> { return vec4<f32>(x[i]); }
fn load_gamma(v: u32) -> vec4<f32> { return gamma[v]; }
fn load_beta(v: u32) -> vec4<f32> { return beta[v]; }
