//! Which divisions of a product are worth measuring.

use crate::kernels::{Division, KernelTarget, ProductShape, Tiling};

/// Shares of the sum over K that are tried: the most that a tile's sum is divided into.
const MOST_PARTS: usize = 32;
/// The shortest share of K.
const SHORTEST_PART: usize = 128;

/// The tilings that are offered for some of `shapes`, in the order in which they are worth trying where time is
/// short: those by fragments, which are several times as fast where they are fast at all, then from the
/// middle of the sizes outwards.
pub(crate) fn tilings(target: &KernelTarget, shapes: &[ProductShape]) -> Vec<usize> {
    let is_offered = |&tiling: &usize| shapes.iter().any(|shape| target.offers(tiling, shape));
    let mut offered: Vec<usize> = (0..Tiling::ALL.len()).filter(is_offered).collect();
    offered.sort_by_key(|&tiling| priority(tiling));
    offered
}

fn priority(tiling: usize) -> (u32, u32) {
    match Tiling::ALL[tiling] {
        Tiling::Blocked(_) if tiling == Tiling::MIDDLING => (0, 0),
        Tiling::Cooperative(_) => (1, u32::MAX - tiling as u32),
        Tiling::Blocked(blocking) if blocking.buffers == 0 => (3, tiling as u32),
        Tiling::Blocked(blocking) => {
            let area: usize = blocking.tile().iter().product();
            (2, (area as f32 / (128.0 * 128.0)).log2().abs() as u32)
        }
    }
}

/// The divisions by one tiling: by as many parts of K as fill the device, or by none; with `all`, by every number of
/// parts that makes sense.
pub(crate) fn divisions(
    target: &KernelTarget,
    shape: &ProductShape,
    tiling: usize,
    all: bool,
) -> Vec<Division> {
    let longest = (shape.sizes[2] as usize / SHORTEST_PART).clamp(1, MOST_PARTS);
    let filling = target.parts_of_k(tiling, shape).min(longest);
    let mut parts = vec![1, filling];
    if all {
        parts.extend((1..).map(|i| 1 << i).take_while(|&parts| parts <= longest));
    }
    parts.sort_unstable();
    parts.dedup();
    parts.into_iter().map(|parts| Division { tiling, parts }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Precision, Processor, ProductLayout};

    #[test]
    fn the_middling_tiling_comes_first_and_all_that_are_offered_come() {
        let target = KernelTarget::from(Processor::Gpu);
        let shape = ProductShape::new(Precision::F32, ProductLayout::Nt, [512, 512, 512]);
        let tilings = tilings(&target, &[shape]);
        assert_eq!(tilings[0], Tiling::MIDDLING);
        let offered = (0..Tiling::ALL.len()).filter(|&i| target.offers(i, &shape)).count();
        assert_eq!(tilings.len(), offered);
    }

    #[test]
    fn long_sums_of_few_tiles_are_shared() {
        let target = KernelTarget::from(Processor::Gpu);
        let parts = |sizes, all| -> Vec<usize> {
            let shape = ProductShape::new(Precision::F32, ProductLayout::Tn, sizes);
            let divisions = divisions(&target, &shape, Tiling::MIDDLING, all);
            divisions.into_iter().map(|division| division.parts).collect()
        };
        assert_eq!(parts([768, 768, 12608], false), [1, 2]);
        assert_eq!(parts([768, 768, 12608], true), [1, 2, 4, 8, 16, 32]);
        assert_eq!(parts([768, 768, 300], true), [1, 2]);
        assert_eq!(parts([4096, 4096, 200], true), [1]);
    }
}
