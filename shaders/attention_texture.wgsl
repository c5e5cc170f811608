//! include texel
//! include attention
//! include attention_forward
// Operands as textures, for CPU drivers; heads of whole vectors.

@group(0) @binding(1) var qkv: act_texture; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read_write> out: array<act4>; // [B, L, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(qkv, texel(first / 4u + v));
}

fn store_out(first: u32, v: u32, vector: vec4<f32>) {
    out[first / 4u + v] = to_act4(vector);
}
