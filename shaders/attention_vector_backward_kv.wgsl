//! include attention
//! include attention_backward_kv
// Operands in storage buffers; heads of whole vectors.

@group(0) @binding(1) var<storage, read> qkv: array<act4>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read> row_stats: array<f32>; // [B, H, L, 2]
@group(0) @binding(3) var<storage, read> d_out: array<act4>; // [B, L, H, d]
@group(0) @binding(4) var<storage, read_write> d_qkv: array<act4>; // [B, L, 3, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    return vec4<f32>(qkv[first / 4u + v]);
}

fn load_row_stats(row: u32) -> vec2<f32> {
    return vec2<f32>(row_stats[2u * row], row_stats[2u * row + 1u]);
}
fn load_d_out(first: u32, v: u32) -> vec4<f32> {
    return vec4<f32>(d_out[first / 4u + v]);
}

fn store_d_qkv(first: u32, v: u32, vector: vec4<f32>) {
    d_qkv[first / 4u + v] = to_act4(vector);
}
