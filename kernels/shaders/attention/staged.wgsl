// How a workgroup of 8 × 8 invocations divides a tile of attention. In a product of queries with keys an invocation has
// a few rows of either, eight apart; in one with weights, a few rows and a few vectors of a head, eight apart: what
// neighbours read in workgroup memory are neighbours.

/// Vectors of a head that an invocation has: an eighth.
#count OWN = 2
/// Queries of an invocation.
#count QUERIES = 2
/// Keys of an invocation.
#count KEYS = 2

const SIDE: u32 = 8u;
const LANES: u32 = SIDE * SIDE;
/// Queries and keys of a workgroup's tile.
const QUERY_TILE: u32 = {QUERIES}u * SIDE;
const KEY_TILE: u32 = {KEYS}u * SIDE;
/// From one vector of a tile's rows to the next: odd, so that rows and vectors alike lie in different banks.
const QUERY_STRIDE: u32 = QUERY_TILE + 1u;
const KEY_STRIDE: u32 = KEY_TILE + 1u;

/// The one of an invocation's vectors that begins at `right`, or the last one for those past the end.
fn vector_at(right: u32, own: u32) -> u32 {
    return min(right + own * SIDE, {VECTORS}u - 1u);
}

#if DROPOUT
/// Factor of the probability of a query and a key.
fn probability_factor(head: Head, query: u32, key: u32) -> f32 {
    return probability_factors(head, query, key / 4u)[key % 4u];
}
#end
