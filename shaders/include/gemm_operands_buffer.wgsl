// Operands of the direct GEMM kernels as storage buffers (see gemm_epilogue.wgsl).

@group(0) @binding(1) var<storage, read> a: array<act4>;
@group(0) @binding(2) var<storage, read> b: array<act4>;
@group(0) @binding(4) var<storage, read> extra: array<act4>;

fn load_a(i: u32) -> vec4<f32> {
    return vec4<f32>(a[i]);
}

fn load_b(i: u32) -> vec4<f32> {
    return vec4<f32>(b[i]);
}

fn load_extra(i: u32) -> vec4<f32> {
    return vec4<f32>(extra[i]);
}

fn load_out(i: u32) -> vec4<f32> {
    return vec4<f32>(out[i]);
}
