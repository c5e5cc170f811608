// The tiles of a workgroup need not be neighbours: the list of tiles has no gaps whatever M and N are.

/// Indices of four vectors.
alias Four = vec4<u32>;

fn first_row(group: u32, lane: u32, tile_rows: u32) -> u32 {
    return place_of(group * {LANES}u + lane, tiles_along_n(), tile_rows).x;
}

fn first_col(group: u32, lane: u32, tile_rows: u32) -> u32 {
    return place_of(group * {LANES}u + lane, tiles_along_n(), tile_rows).y;
}

/// Four neighbours from `first` on, those past the end replaced by the last of `count`; `stride` apart.
fn four(first: u32, count: u32, stride: u32, lane: u32) -> Four {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u)) * stride;
}

fn load_four(i: Four, offset: u32) -> mat4x4<f32> {
    return mat4x4<f32>(load_a(i.x + offset), load_a(i.y + offset), load_a(i.z + offset), load_a(i.w + offset));
}
