// What the attention kernels share. Heads are read as vectors of four; an invocation has OWN tokens of its own
// side and takes the other side's in blocks, so that a vector which it loads serves OWN tokens.

struct Params {
    tokens: u32,
    heads: u32,
    tiles: u32,
    count: u32,
    scale: f32,
    site: u32, // with DROPOUT this and what follows, as the kernel `dropout` has them
    threshold: u32,
    factor: f32,
}

override WG: u32 = 64u;
/// Values per head, at most 128.
override DIM_HEAD: u32 = 64u;

/// Vectors per head; the last one may be partly empty.
#count VECTORS = 16
/// Tokens of an invocation.
#count OWN = 1
/// Tokens of the other side that pass together.
#count BLOCK = 4
/// Whether probabilities are dropped. Blocks are of four tokens then.
#count DROPOUT = 0

@group(0) @binding(0) var<uniform> params: Params;

/// Where an invocation works.
struct Place {
    sample: u32,     // b
    head: u32,       // h
    token: u32,      // the first of its queries or keys; past the end where there is none
    first_row: u32,  // (b · H + h) · L
}

fn place(id: u32, lane: u32) -> Place {
    let head_index = id / params.tiles;
    let token = ((id - head_index * params.tiles) * WG + lane) * {OWN}u;
    let b = head_index / params.heads;
    return Place(b, head_index - b * params.heads, token, head_index * params.tokens);
}

/// `token`, or the last one for those past the end.
fn existing(token: u32) -> u32 {
    return min(token, params.tokens - 1u);
}

/// First value of a head in `qkv [B, L, 3, H, d]`; part 0 is the query, 1 the key, 2 the value.
fn qkv_index(at: Place, token: u32, part: u32) -> u32 {
    return (((at.sample * params.tokens + token) * 3u + part) * params.heads + at.head) * DIM_HEAD;
}

/// First value of a head in `[B, L, H, d]`.
fn head_index(at: Place, token: u32) -> u32 {
    return ((at.sample * params.tokens + token) * params.heads + at.head) * DIM_HEAD;
}

fn sum(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

#if DROPOUT
/// Factors of a query's probabilities for the keys 4·quad to 4·quad + 3. All passes have the same ones.
fn probability_factors(at: Place, query: u32, quad: u32) -> vec4<f32> {
    return dropout_factors(at.sample, (at.head * params.tokens + query) * ((params.tokens + 3u) / 4u) + quad);
}
#end
