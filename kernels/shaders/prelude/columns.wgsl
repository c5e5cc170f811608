// Which columns an invocation adds up, for kernels that sum rows: neighbours have neighbouring columns, so that they
// load together, and each has four, `width` apart, so that it has four loads under way. `shares` invocations share the
// rows of a column.

const SUM_LANES: u32 = 256u;

struct Columns {
    // Chunk of rows.
    chunk: u32,
    // Invocations side by side.
    width: u32,
    // The first row, seen from the chunk's.
    share: u32,
    // The first column.
    first: u32,
    // All four; those past the end repeat the last one and are dropped.
    all: vec4<u32>,
}

// `id` counts strips of 4·SUM_LANES/shares columns, chunk by chunk.
fn columns_of(id: u32, dim: u32, shares: u32, lane: u32) -> Columns {
    let width = SUM_LANES / shares;
    let strips = (dim + 4u * width - 1u) / (4u * width);
    let chunk = id / strips;
    let first = (id - chunk * strips) * 4u * width + lane % width;
    let all = vec4<u32>(first, first + width, first + 2u * width, first + 3u * width);
    return Columns(chunk, width, lane / width, first, min(all, vec4<u32>(dim - 1u)));
}
