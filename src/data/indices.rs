//! Which pictures stand for a data set.

use crate::philox::Rng;

/// First word of the generator's stream; see the others in `batch`.
const SUBSET: u32 = 0x5EED_0004;

/// At most `count` different indices below `len`, drawn from `seed` and sorted.
pub fn fixed_indices(len: usize, count: usize, seed: u64) -> Vec<u32> {
    let mut indices: Vec<u32> = (0..len as u32).collect();
    if count < len {
        Rng::new(seed, [SUBSET, 0, 0]).shuffle(&mut indices);
        indices.truncate(count);
        indices.sort_unstable();
    }
    indices
}
