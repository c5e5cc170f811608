// What is read are textures, for CPU drivers.

@group(0) @binding(3) var grads: texture_storage_2d<rgba32float, read>;
@group(0) @binding(4) var old_values: texture_storage_2d<rgba32float, read>;
@group(0) @binding(5) var old_moment1: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var old_moment2: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var<storage, read_write> values: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> moment1: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read_write> moment2: array<vec4<f32>>;

fn load_grad(i: u32) -> vec4<f32> {
    return textureLoad(grads, texel(i));
}

fn load_value(i: u32) -> vec4<f32> {
    return textureLoad(old_values, texel(i));
}

fn load_moment1(i: u32) -> vec4<f32> {
    return textureLoad(old_moment1, texel(i));
}

fn load_moment2(i: u32) -> vec4<f32> {
    return textureLoad(old_moment2, texel(i));
}
