// How a workgroup of four subgroups divides a tile of attention into fragments of cooperative matrices. What goes from
// one product into the next passes through workgroup memory: scores, weights and sums.

/// Fragments along a head's values; the last may be partly empty.
#count DEPTH = 4
/// Vectors of keys that an invocation weighs of a tile.
#count QUADS = 8

const SUBGROUPS: u32 = 4u;
const THREADS: u32 = SUBGROUPS * {SUBGROUP_SIZE}u;
/// Values of a head with those that fill its last fragment, and of a staged line, with a gap lest all lines begin in
/// the same bank.
const WIDTH: u32 = {DEPTH}u * EXTENT;
const LINE: u32 = (WIDTH + WORD) / CELL;
/// The same of the weights and of the sums.
const LINE_OF_WEIGHTS: u32 = (KEY_TILE + WORD) / CELL;
const LINE_OF_SUMS: u32 = (max(KEY_TILE, WIDTH) + SPARE_COLUMNS + 4u) / CELL;

var<workgroup> staged: array<Cell, STAGED_LINES * LINE>;
var<workgroup> weights: array<Cell, LINES_OF_WEIGHTS * LINE_OF_WEIGHTS>;
var<workgroup> sums: array<CellOfSums, LINES_OF_SUMS * LINE_OF_SUMS>;

/// Puts a word of a line into workgroup memory.
fn share(line: u32, word: u32, value: Word) {
    let i = line * LINE + word * (WORD / CELL);
#each p < PARTS
#if WIDE
    staged[i + {p}u] = value[{p}];
#else
    staged[i + 4u * {p}u] = value[{p}].x;
    staged[i + 4u * {p}u + 1u] = value[{p}].y;
    staged[i + 4u * {p}u + 2u] = value[{p}].z;
    staged[i + 4u * {p}u + 3u] = value[{p}].w;
#end
#end
}

/// Puts a head's queries (part 0), keys (1) or values (2) of `count` tokens from `first` on into the lines from `line`
/// on, with zeros in what fills the last fragment.
fn stage(head: Head, part: u32, first: u32, count: u32, line: u32, thread: u32) {
    for (var i = thread; i < count * (WIDTH / WORD); i += THREADS) {
        let row = i / (WIDTH / WORD);
        let word = i % (WIDTH / WORD);
        var value = Word();
        if (word < DIM_HEAD / WORD) {
            value = words_of_qkv[qkv_index(head, existing(first + row), part) / WORD + word];
        }
        share(line + row, word, value);
    }
}

/// Vector `v` of a line of sums.
fn four_sums(line: u32, v: u32) -> vec4<f32> {
    let i = line * LINE_OF_SUMS + v * (4u / CELL);
#if WIDE
    return sums[i];
#else
    return vec4<f32>(sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]);
#end
}

/// Puts vector `v` of a line of weights into workgroup memory.
fn put_weights(line: u32, v: u32, four: vec4<f32>) {
    let i = line * LINE_OF_WEIGHTS + v * (4u / CELL);
    let kept = to_act4(four);
#if WIDE
    weights[i] = kept;
#else
    weights[i] = kept.x;
    weights[i + 1u] = kept.y;
    weights[i + 2u] = kept.z;
    weights[i + 3u] = kept.w;
#end
}

/// The four tokens of vector `v` of a tile that begins at `first`.
fn four_tokens(first: u32, v: u32) -> vec4<u32> {
    return vec4<u32>(first + 4u * v) + vec4<u32>(0u, 1u, 2u, 3u);
}
