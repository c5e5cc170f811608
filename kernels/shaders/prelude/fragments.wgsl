// Cooperative matrices, which the invocations of a subgroup hold and multiply together (tensor cores), in fragments of
// EXTENT × EXTENT. An invocation does not know which elements of a fragment it holds.

#count EXTENT = 16
/// The most invocations that a subgroup has.
#count SUBGROUP_SIZE = 32
/// 1 if it may have fewer. Then there are more subgroups, and those beyond the first repeat what these do, into a
/// place of their own: cooperative operations must be in uniform control flow.
#count SURPLUS = 0
/// Vectors of four in a word, which is 16 bytes. The operands' lines are whole words.
#count PARTS = 2
/// Fragments are read through pointers to vectors, not to scalars, which is all that Metal knows.
#count WIDE = 1

const EXTENT: u32 = {EXTENT}u;
alias FragmentA = coop_mat{EXTENT}x{EXTENT}<act, A>;
alias FragmentB = coop_mat{EXTENT}x{EXTENT}<act, B>;
alias FragmentC = coop_mat{EXTENT}x{EXTENT}<f32, C>;

/// What an invocation loads at once, 16 bytes.
alias Word = array<act4, {PARTS}>;
const WORD: u32 = 4u * {PARTS}u;
/// Of what pointers of fragments point to: of the operands CELL values, of the sums CELL_OF_SUMS.
#if WIDE
alias Cell = act4;
alias CellOfSums = vec4<f32>;
const CELL: u32 = 4u;
#else
alias Cell = act;
alias CellOfSums = f32;
const CELL: u32 = 1u;
#end
