/// Place in a texture of vector `i` of a buffer; see `gpu::texture`.
fn texel(i: u32) -> vec2<u32> {
    return vec2<u32>(i & 1023u, i >> 10u);
}
