//! include attention
//! include attention_backward_kv
// Operands in storage buffers; heads of any width.

@group(0) @binding(1) var<storage, read> qkv: array<act>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read> row_stats: array<f32>; // [B, H, L, 2]
@group(0) @binding(3) var<storage, read> d_out: array<act>; // [B, L, H, d]
@group(0) @binding(4) var<storage, read_write> d_qkv: array<act>; // [B, L, 3, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    let i = first + 4u * v;
    let rest = DIM_HEAD - 4u * v;
    var vector = vec4<f32>(f32(qkv[i]), 0.0, 0.0, 0.0);
    if (rest > 1u) { vector.y = f32(qkv[i + 1u]); }
    if (rest > 2u) { vector.z = f32(qkv[i + 2u]); }
    if (rest > 3u) { vector.w = f32(qkv[i + 3u]); }
    return vector;
}

fn load_row_stats(row: u32) -> vec2<f32> {
    return vec2<f32>(row_stats[2u * row], row_stats[2u * row + 1u]);
}
fn load_d_out(first: u32, v: u32) -> vec4<f32> {
    let i = first + 4u * v;
    let rest = DIM_HEAD - 4u * v;
    var vector = vec4<f32>(f32(d_out[i]), 0.0, 0.0, 0.0);
    if (rest > 1u) { vector.y = f32(d_out[i + 1u]); }
    if (rest > 2u) { vector.z = f32(d_out[i + 2u]); }
    if (rest > 3u) { vector.w = f32(d_out[i + 3u]); }
    return vector;
}

fn store_d_qkv(first: u32, v: u32, vector: vec4<f32>) {
    for (var c = 0u; c < min(4u, DIM_HEAD - 4u * v); c += 1u) {
        d_qkv[first + 4u * v + c] = to_act(vector[c]);
    }
}
