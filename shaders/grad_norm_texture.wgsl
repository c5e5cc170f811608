//! include texel
//! include grad_norm_chunks
// Gradients as a texture.

@group(0) @binding(1) var grads: texture_storage_2d<rgba32float, read>;

fn load_grads(i: u32) -> vec4<f32> { return textureLoad(grads, texel(i)); }
