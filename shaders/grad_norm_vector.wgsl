//! include grad_norm_chunks
// Gradients in a storage buffer.

@group(0) @binding(1) var<storage, read> grads: array<vec4<f32>>;

fn load_grads(i: u32) -> vec4<f32> { return grads[i]; }
