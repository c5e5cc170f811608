//! include texel
//! include layer_norm_columns_backward
// Operands as textures.

@group(0) @binding(1) var dy: act_texture; // [rows, D]
@group(0) @binding(2) var x: act_texture; // [rows, D]
@group(0) @binding(3) var stats: texture_storage_2d<rgba32float, read>; // [rows, 2]: μ, rstd

fn load_dy(i: u32) -> vec4<f32> { return textureLoad(dy, texel(i)); }
fn load_x(i: u32) -> vec4<f32> { return textureLoad(x, texel(i)); }

/// Two rows' statistics share a vector.
fn load_stats(row: u32) -> vec2<f32> {
    let pair = textureLoad(stats, texel(row / 2u));
    return select(pair.xy, pair.zw, row % 2u == 1u);
}
