//! include texel
//! include attention
//! include attention_backward_kv
// Operands as textures, for CPU drivers; heads of whole vectors.

@group(0) @binding(1) var qkv: act_texture; // [B, L, 3, H, d]
@group(0) @binding(2) var row_stats: texture_storage_2d<rgba32float, read>; // [B, H, L, 2]
@group(0) @binding(3) var d_out: act_texture; // [B, L, H, d]
@group(0) @binding(4) var<storage, read_write> d_qkv: array<act4>; // [B, L, 3, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(qkv, texel(first / 4u + v));
}

fn load_row_stats(row: u32) -> vec2<f32> {
    let pair = textureLoad(row_stats, texel(row / 2u));
    return select(pair.xy, pair.zw, row % 2u == 1u);
}
fn load_d_out(first: u32, v: u32) -> vec4<f32> {
    return textureLoad(d_out, texel(first / 4u + v));
}

fn store_d_qkv(first: u32, v: u32, vector: vec4<f32>) {
    d_qkv[first / 4u + v] = to_act4(vector);
}
