//! include texel
//! include attention
//! include attention_backward_q
// Operands as textures, for CPU drivers; heads of whole vectors.

@group(0) @binding(1) var qkv: act_texture; // [B, L, 3, H, d]
@group(0) @binding(2) var out: act_texture; // [B, L, H, d]
@group(0) @binding(4) var d_out: act_texture; // [B, L, H, d]
@group(0) @binding(5) var<storage, read_write> d_qkv: array<act4>; // [B, L, 3, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(qkv, texel(first / 4u + v));
}

fn load_out(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(out, texel(first / 4u + v));
}

fn load_d_out(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(d_out, texel(first / 4u + v));
}

fn store_d_qkv(first: u32, v: u32, vector: vec4<f32>) {
    d_qkv[first / 4u + v] = to_act4(vector);
}
