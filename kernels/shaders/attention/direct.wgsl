// How quads, four neighbouring invocations each, divide attention without workgroup memory, for GPUs on which that is
// ordinary memory. A quad has a few rows, sixteen apart, of queries or of keys. Of the columns, which pass in tiles, an
// invocation has every fourth: it computes their scores against the rows, and the others of its quad get them from it.
// Of what is summed over the columns it has every fourth vector.

/// Rows of a quad.
#count ROWS = 2
/// Columns of an invocation.
#count COLS = 2
/// Vectors of a head that an invocation has: a quarter.
#count OWN = 4

const LANES: u32 = 64u;
const QUADS: u32 = LANES / 4u;
/// Rows of a workgroup, and columns that pass at once.
const ROW_TILE: u32 = {ROWS}u * QUADS;
const COL_TILE: u32 = {COLS}u * 4u;

/// The sum over a quad.
fn quad_sum(value: f32) -> f32 {
    let pair = value + quadSwapX(value);
    return pair + quadSwapY(pair);
}

/// The largest of a quad.
fn quad_max(value: f32) -> f32 {
    let pair = max(value, quadSwapX(value));
    return max(pair, quadSwapY(pair));
}

/// The one of an invocation's vectors that begins at `right`, or the last one for those past the end.
fn vector_at(right: u32, own: u32) -> u32 {
    return min(right + own * 4u, {VECTORS}u - 1u);
}
