//! include attention
//! include attention_forward
// Operands in storage buffers; heads of any width.

@group(0) @binding(1) var<storage, read> qkv: array<act>; // [B, L, 3, H, d]
@group(0) @binding(2) var<storage, read_write> out: array<act>; // [B, L, H, d]

fn load_qkv(first: u32, v: u32) -> vec4<f32> {
    let i = first + 4u * v;
    let rest = DIM_HEAD - 4u * v;
    var vector = vec4<f32>(f32(qkv[i]), 0.0, 0.0, 0.0);
    if (rest > 1u) { vector.y = f32(qkv[i + 1u]); }
    if (rest > 2u) { vector.z = f32(qkv[i + 2u]); }
    if (rest > 3u) { vector.w = f32(qkv[i + 3u]); }
    return vector;
}

fn store_out(first: u32, v: u32, vector: vec4<f32>) {
    for (var c = 0u; c < min(4u, DIM_HEAD - 4u * v); c += 1u) {
        out[first + 4u * v + c] = to_act(vector[c]);
    }
}
