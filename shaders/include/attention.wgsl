// What the attention kernels share. Heads are read as vectors of four.

struct Params { tokens: u32, heads: u32, tiles: u32, count: u32, scale: f32, vectors: u32 }

override WG: u32 = 64u;
/// Values per head, at most 128.
override DIM_HEAD: u32 = 64u;
/// Vectors per head; the last one may be partly empty.
override VECTORS: u32 = (DIM_HEAD + 3u) / 4u;
/// Let the compiler unroll the loops over a head, so that its vectors stay in registers.
override UNROLL: bool = true;
/// The other side's tokens pass in blocks of 4 or 1. With 4, a vector of the own side is touched once for four
/// of them; llvmpipe gives up unrolling so long a loop, and does better with 1.
override BLOCK: u32 = 4u;

@group(0) @binding(0) var<uniform> params: Params;

/// Where an invocation works.
struct Place {
    sample: u32,     // b
    head: u32,       // h
    token: u32,      // its own query or key; past the end where there is none
    row: u32,        // (b · H + h) · L + token
}

fn place(id: u32, lane: u32) -> Place {
    let head_index = id / params.tiles;
    let token = (id - head_index * params.tiles) * WG + lane;
    let b = head_index / params.heads;
    return Place(b, head_index - b * params.heads, token, head_index * params.tokens + token);
}

/// First value of a head in `qkv [B, L, 3, H, d]`; part 0 is the query, 1 the key, 2 the value.
fn qkv_index(at: Place, token: u32, part: u32) -> u32 {
    return (((at.sample * params.tokens + token) * 3u + part) * params.heads + at.head) * DIM_HEAD;
}

/// The same of a block's tokens.
fn qkv_indices(at: Place, tokens: vec4<u32>, part: u32) -> vec4<u32> {
    return (((at.sample * params.tokens + tokens) * 3u + part) * params.heads + at.head) * DIM_HEAD;
}

/// First value of a head in `[B, L, H, d]`.
fn head_index(at: Place, token: u32) -> u32 {
    return ((at.sample * params.tokens + token) * params.heads + at.head) * DIM_HEAD;
}

/// The same of a block's tokens.
fn head_indices(at: Place, tokens: vec4<u32>) -> vec4<u32> {
    return ((at.sample * params.tokens + tokens) * params.heads + at.head) * DIM_HEAD;
}

/// Vectors per head: a constant only where loops over them are to be unrolled.
fn vectors() -> u32 {
    return select(params.vectors, VECTORS, UNROLL);
}

/// The tokens of the block that begins with `first`; past the end the last one is repeated.
fn block_tokens(first: u32) -> vec4<u32> {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.tokens - 1u));
}

/// `weights` of the block's tokens, zero past its end and the last token.
fn weights_in(first: u32, weights: vec4<f32>) -> vec4<f32> {
    let end = min(params.tokens, first + BLOCK);
    return select(vec4<f32>(), weights, first + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end));
}

/// The `v`-th vectors of the heads that begin at `firsts` of qkv, those of a block; with BLOCK = 1 only the first.
fn qkv_block(firsts: vec4<u32>, v: u32) -> mat4x4<f32> {
    let one = load_qkv(firsts.x, v);
    if (BLOCK == 1u) { return mat4x4<f32>(one, vec4<f32>(), vec4<f32>(), vec4<f32>()); }
    return mat4x4<f32>(one, load_qkv(firsts.y, v), load_qkv(firsts.z, v), load_qkv(firsts.w, v));
}

/// `sums` and the elementwise products of a vector with each of a block.
fn add_products(sums: mat4x4<f32>, vector: vec4<f32>, block: mat4x4<f32>) -> mat4x4<f32> {
    let one = sums[0] + vector * block[0];
    if (BLOCK == 1u) { return mat4x4<f32>(one, vec4<f32>(), vec4<f32>(), vec4<f32>()); }
    return mat4x4<f32>(
        one, sums[1] + vector * block[1], sums[2] + vector * block[2], sums[3] + vector * block[3]);
}

/// `sum` and the weighted vectors of a block.
fn add_weighted(sum: vec4<f32>, weights: vec4<f32>, block: mat4x4<f32>) -> vec4<f32> {
    let one = sum + weights.x * block[0];
    if (BLOCK == 1u) { return one; }
    return one + (weights.y * block[1] + weights.z * block[2] + weights.w * block[3]);
}

/// The sum of each vector's elements.
fn totals(m: mat4x4<f32>) -> vec4<f32> {
    let t = transpose(m);
    return t[0] + t[1] + t[2] + t[3];
}
