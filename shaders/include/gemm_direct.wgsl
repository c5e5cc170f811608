// Tiles of the direct GEMM kernels, for drivers that run shaders on the CPU: no workgroup memory and
// no barriers; every invocation owns a tile of some rows × COLS vec4 columns in named accumulators,
// so that a loaded value is used as often as possible. A workgroup is LANES such tiles, which need
// not be neighbours: the list of tiles has no gaps whatever M and N are.

#count LANES = 8
/// vec4 columns of a tile.
#count COLS = 2

/// First row and first vec4 column of a tile; the row lies past M for tiles past the end.
/// Panels eight tiles wide go down all rows before the next panel: its part of B stays in cache.
fn tile_origin(tile: u32, tile_rows: u32) -> vec2<u32> {
    let tiles_n = (dims.n + 4u * {COLS}u - 1u) / (4u * {COLS}u);
    let panel = tile / (8u * dims.groups_m);
    if (panel * 8u >= tiles_n) {
        return vec2<u32>(dims.m, 0u);
    }
    let width = min(8u, tiles_n - panel * 8u);
    let local = tile - panel * 8u * dims.groups_m;
    return vec2<u32>(local / width * tile_rows, (panel * 8u + local % width) * {COLS}u);
}
