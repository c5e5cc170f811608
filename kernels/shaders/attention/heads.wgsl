// What the attention kernels share: where heads lie, and which probabilities are dropped.

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

/// Values per head, at most 128.
override DIM_HEAD: u32 = 64u;

/// Vectors per head; the last one may be partly empty.
#count VECTORS = 16
/// Whether probabilities are dropped.
#count DROPOUT = 0

@group(0) @binding(0) var<uniform> params: Params;

/// A head of a sample.
struct Head {
    sample: u32,     // b
    index: u32,      // h
    first_row: u32,  // (b · H + h) · L
}

fn head_of(number: u32) -> Head {
    let sample = number / params.heads;
    return Head(sample, number - sample * params.heads, number * params.tokens);
}

/// `token`, or the last one for those past the end.
fn existing(token: u32) -> u32 {
    return min(token, params.tokens - 1u);
}

/// First value of a head in `qkv [B, L, 3, H, d]`; part 0 is the query, 1 the key, 2 the value.
fn qkv_index(head: Head, token: u32, part: u32) -> u32 {
    return (((head.sample * params.tokens + token) * 3u + part) * params.heads + head.index) * DIM_HEAD;
}

/// First value of a head in `[B, L, H, d]`.
fn head_index(head: Head, token: u32) -> u32 {
    return ((head.sample * params.tokens + token) * params.heads + head.index) * DIM_HEAD;
}

/// `a·b + sum`, one multiply-add after the other.
fn add_dot(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
    return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
}

#if DROPOUT
/// Factors of the probabilities of a query and the keys 4·`quad` to 4·`quad` + 3. All passes have the same ones.
fn probability_factors(head: Head, query: u32, quad: u32) -> vec4<f32> {
    let row = (head.index * params.tokens + query) * ((params.tokens + 3u) / 4u);
    return dropout_factors(head.sample, row + quad);
}
#end
