//! include texel
//! include layer_norm_rows_backward
// Operands as textures.

@group(0) @binding(1) var dy: act_texture; // [rows, D]
@group(0) @binding(2) var x: act_texture; // [rows, D]
@group(0) @binding(3) var gamma: texture_storage_2d<rgba32float, read>; // [D]

fn load_dy(i: u32) -> vec4<f32> { return textureLoad(dy, texel(i)); }
fn load_x(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }
fn load_gamma(v: u32) -> vec4<f32> { return textureLoad(gamma, texel(v)); }
