//! include adamw
//! include adamw_buffers
// AdamW with everything in storage buffers.

fn store_value(i: u32, value: vec4<f32>) {
    values[i] = value;
}
