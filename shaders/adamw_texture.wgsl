//! in place
//! include texel
//! include adamw
//! include adamw_textures
// AdamW whose operands are textures, for CPU drivers.

fn store_value(i: u32, value: vec4<f32>) {
    values[i] = value;
}
