// The direct GEMM kernels, for drivers that run shaders on the CPU: no workgroup memory and no barriers;
// every invocation owns a tile of some rows × COLS vec4 columns in named accumulators, so that a loaded
// value is used as often as possible. A workgroup is LANES such tiles. Which tiles those are, and how
// `load_four` fetches vectors of A, says `gemm_lanes_apart` or `gemm_lanes_together`.

#count LANES = 8
/// vec4 columns of a tile.
#count COLS = 2

/// Tiles along N.
fn tiles_along_n() -> u32 {
    return (dims.n + 4u * {COLS}u - 1u) / (4u * {COLS}u);
}

/// First row and first vec4 column of a tile; the row lies past M for tiles past the end.
/// Panels eight tiles wide go down all rows before the next panel: its part of B stays in cache.
fn place_of(tile: u32, tiles_n: u32, tile_rows: u32) -> vec2<u32> {
    let panel = tile / (8u * dims.groups_m);
    if (panel * 8u >= tiles_n) {
        return vec2<u32>(dims.m, 0u);
    }
    let width = min(8u, tiles_n - panel * 8u);
    let local = tile - panel * 8u * dims.groups_m;
    return vec2<u32>(local / width * tile_rows, (panel * 8u + local % width) * {COLS}u);
}
