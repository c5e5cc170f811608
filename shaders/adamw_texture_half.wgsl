//! in place
//! include texel
//! include adamw
//! include adamw_textures
// `adamw_texture` for mixed precision: the copy that products read follows.

@group(0) @binding(10) var<storage, read_write> halves: array<act4>;

fn store_value(i: u32, value: vec4<f32>) {
    values[i] = value;
    halves[i] = to_act4(value);
}
