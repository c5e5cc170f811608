//! include column_sum_columns
// The operand in a storage buffer.

@group(0) @binding(1) var<storage, read> x: array<act4>; // [rows, D]

fn load_x(i: u32) -> vec4<f32> { return vec4<f32>(x[i]); }
