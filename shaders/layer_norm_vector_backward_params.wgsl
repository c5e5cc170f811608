//! include layer_norm_columns_backward
// Operands in storage buffers.

@group(0) @binding(1) var<storage, read> dy: array<act4>; // [rows, D]
@group(0) @binding(2) var<storage, read> x: array<act4>; // [rows, D]
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>; // [rows, 2]: μ, rstd

fn load_dy(i: u32) -> vec4<f32> { return vec4<f32>(dy[i]); }
fn load_x(i: u32) -> vec4<f32> { return vec4<f32>(x[i]); }
fn load_stats(row: u32) -> vec2<f32> { return stats[row]; }
