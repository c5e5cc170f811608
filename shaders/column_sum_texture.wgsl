//! include texel
//! include column_sum_columns
// The operand as a texture.

@group(0) @binding(1) var x: act_texture; // [rows, D]

fn load_x(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }
