// Everything in storage buffers.

@group(0) @binding(3) var<storage, read> grads: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> moment1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> moment2: array<vec4<f32>>;

fn load_grad(i: u32) -> vec4<f32> {
    return grads[i];
}

fn load_value(i: u32) -> vec4<f32> {
    return values[i];
}

fn load_moment1(i: u32) -> vec4<f32> {
    return moment1[i];
}

fn load_moment2(i: u32) -> vec4<f32> {
    return moment2[i];
}
