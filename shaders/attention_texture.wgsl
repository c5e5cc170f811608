//! include texel
//! include attention
//! include attention_forward
// Operands copied into textures, for CPU drivers; heads of whole vectors.

@group(0) @binding(1) var qkv: texture_storage_2d<rgba32float, read>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>; // [B, L, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(qkv, texel(first / 4u + v));
}

fn store_out(first: u32, v: u32, vector: vec4<f32>) {
    out[first / 4u + v] = vector;
}
