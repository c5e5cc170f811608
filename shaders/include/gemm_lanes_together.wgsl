// The four invocations of a workgroup are one subgroup, or the beginning of one, and their tiles lie beside each
// other: all need the same vectors of A, of which each loads one of four.

/// Index of an invocation's own of four vectors.
alias Four = u32;

fn tile_origin(group: u32, lane: u32, tile_rows: u32) -> vec2<u32> {
    let tiles_n = (tiles_along_n() + 3u) / 4u * 4u;
    return place_of(group * 4u, tiles_n, tile_rows) + vec2<u32>(0u, lane * {COLS}u);
}

fn four(first: u32, count: u32, stride: u32, lane: u32) -> Four {
    return min(first + lane, count - 1u) * stride;
}

fn load_four(i: Four, offset: u32) -> mat4x4<f32> {
    let own = load_a(i + offset);
    return mat4x4<f32>(
        subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u));
}
