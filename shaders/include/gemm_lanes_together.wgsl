// The four invocations of a workgroup are one subgroup, or the beginning of one, and their tiles lie beside each
// other: all need the same vectors of A, of which each loads one of four.

/// Index of an invocation's own of four vectors.
alias Four = u32;

/// The first of a workgroup's tiles, which has all four in one row of tiles.
fn place_of_first(group: u32, tile_rows: u32) -> vec2<u32> {
    return place_of(group * 4u, (tiles_along_n() + 3u) / 4u * 4u, tile_rows);
}

/// Uniform, as what subgroups do together has to be.
fn first_row(group: u32, lane: u32, tile_rows: u32) -> u32 {
    return place_of_first(group, tile_rows).x;
}

fn first_col(group: u32, lane: u32, tile_rows: u32) -> u32 {
    return place_of_first(group, tile_rows).y + lane * {COLS}u;
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
