// Prelude of every shader.

// Index of the workgroup in a grid folded to two dimensions, so that more than 65,535 groups run.
// A folded grid may end with surplus groups: kernels return where the index passes their count.
fn group_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}

// Marks "no token", "no row" in index maps.
const NONE: u32 = 0xffffffffu;
// Sources in a token map that are parameters, not rows of the input.
const CLS_TOKEN: u32 = 0xfffffffeu;
const MASK_TOKEN: u32 = 0xfffffffdu;

// Whether the value is NaN or infinite, by its exponent bits: compilers may assume that floats are
// neither.
fn is_non_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}
