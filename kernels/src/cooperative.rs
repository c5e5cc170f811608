//! Cooperative matrices (tensor cores): the fragments that kernels multiply.

use super::{ConstantList, Precision, ProductShape, gemm, gemm_cooperative};

/// The fragments of matrices that subgroups of an adapter multiply, with sums in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
pub struct CooperativeMatrices {
    /// Rows and columns of fragments whose operands are in f32.
    pub f32: Option<u32>,
    /// Rows and columns of fragments whose operands are in f16.
    pub f16: Option<u32>,
    /// The fewest and the most invocations that a subgroup has.
    pub subgroup_sizes: [u32; 2],
    /// Whether fragments are read through pointers to scalars alone, as in Metal, and not to vectors.
    pub scalar_pointers: bool,
}

impl CooperativeMatrices {
    /// Rows and columns of fragments whose operands are kept in `precision`, if there are such.
    pub fn extent(self, precision: Precision) -> Option<u32> {
        match precision {
            Precision::F32 => self.f32,
            Precision::F16 => self.f16,
        }
    }

    /// Whether subgroups of a kernel may have one of several sizes.
    pub fn subgroup_size_varies(self) -> bool {
        self.subgroup_sizes[0] != self.subgroup_sizes[1]
    }

    /// Which fragments there are, in words.
    pub fn describe(self) -> String {
        let kinds = [("f16", self.f16), ("f32", self.f32)];
        let kinds = kinds.map(|(name, extent)| extent.map(|n| format!("{name} {n}×{n}")));
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
    }

    /// Whether there are fragments of any kind.
    pub fn any(self) -> bool {
        self.f32.is_some() || self.f16.is_some()
    }
}

/// How `gemm_cooperative` divides a product: see `shaders/gemm/gemm_cooperative.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CooperativeTile {
    /// Rows and columns of the output that a workgroup computes.
    pub sides: [u32; 2],
    /// Subgroups along M and N.
    pub subgroups: [u32; 2],
    /// Words of 16 bytes along K in a step.
    pub depth: u32,
    /// Whether a step's fragments along K are all written out, or a loop passes over them.
    pub unrolled: bool,
    /// Whether fragments come straight from storage, and not through workgroup memory.
    pub direct: bool,
}

/// Bytes that an invocation loads at once.
pub(super) const WORD: u32 = 16;
/// Invocations of a workgroup, at most (WebGPU's default limit).
pub(super) const MAX_THREADS: u32 = 256;
/// Fragments of a subgroup that should go through workgroup memory at once.
const ENOUGH_AT_ONCE: u32 = 4;

impl CooperativeTile {
    /// All of them: through workgroup memory from the smallest tile to the largest, then straight from storage.
    pub const ALL: [Self; 10] = [
        Self::staged([32, 32], [2, 2], 8, false),
        Self::staged([64, 64], [2, 2], 4, false),
        Self::staged([64, 64], [2, 2], 4, true),
        Self::staged([128, 64], [2, 2], 4, true),
        Self::staged([128, 128], [2, 2], 4, true),
        Self::staged([128, 128], [2, 2], 4, false),
        Self::staged([128, 128], [2, 4], 4, true),
        Self::staged([128, 256], [2, 4], 4, true),
        Self { direct: true, ..Self::staged([64, 64], [2, 2], 4, false) },
        Self { direct: true, ..Self::staged([128, 128], [2, 4], 4, true) },
    ];

    const fn staged(sides: [u32; 2], subgroups: [u32; 2], depth: u32, unrolled: bool) -> Self {
        Self { sides, subgroups, depth, unrolled, direct: false }
    }

    /// Rows and columns of a workgroup's tile.
    pub fn tile(self) -> [usize; 2] {
        self.sides.map(|side| side as usize)
    }

    /// The tile, what a subgroup computes of it, and along K, in words.
    pub fn describe(self, operands: Precision) -> String {
        let ([m, n], k) = (self.sides, self.k_step(operands));
        let [rows, cols] = [0, 1].map(|i| self.sides[i] / self.subgroups[i]);
        let unrolled = if self.unrolled { " unrolled" } else { "" };
        let direct = if self.direct { " direct" } else { "" };
        format!("{m}×{n}/{rows}×{cols} K{k}{unrolled}{direct}")
    }

    /// K that a workgroup takes at once.
    pub fn k_step(self, operands: Precision) -> u32 {
        self.depth * WORD / operands.bytes() as u32
    }

    /// Whether it divides products of `operands` with the fragments of `matrices` in so many bytes of workgroup
    /// memory.
    pub fn fits(
        self,
        matrices: CooperativeMatrices,
        operands: Precision,
        workgroup_memory: u32,
    ) -> bool {
        self.constants(matrices, operands, workgroup_memory, gemm::Constants::default()).is_some()
    }

    /// Whether it takes such products: lines of whole words, and straight from storage whole fragments too.
    pub fn takes(self, matrices: CooperativeMatrices, shape: &ProductShape) -> bool {
        let word = WORD / shape.operands.bytes() as u32;
        let Some(extent) = matrices.extent(shape.operands) else { return false };
        let [m, n, k] = shape.sizes;
        let is_whole = || {
            [m, n].iter().all(|size| size.is_multiple_of(extent))
                && k.is_multiple_of(self.k_step(shape.operands))
        };
        // The output is stored by fours.
        shape.is_whole()
            && shape.lines().iter().all(|line| line.is_multiple_of(word))
            && (!self.direct || is_whole())
    }

    /// The constants of its kernel for a product that means `meaning`, where it [fits](Self::fits): two buffers if
    /// there is room for them, and as much of the output at once as then fits.
    pub fn constants(
        self,
        matrices: CooperativeMatrices,
        operands: Precision,
        workgroup_memory: u32,
        meaning: gemm::Constants,
    ) -> Option<gemm_cooperative::Constants> {
        let extent = matrices.extent(operands)?;
        let (subgroup_size, k_step) = (matrices.subgroup_sizes[1], self.k_step(operands));
        let threads = self.subgroups.iter().product::<u32>() * subgroup_size;
        let [m, n] = [0, 1].map(|i| whole(self.sides[i], self.subgroups[i] * extent));
        let fragments = [m?, n?];
        if threads > MAX_THREADS || !k_step.is_multiple_of(extent) {
            return None;
        }
        let loads = if self.direct { [0; 2] } else { self.loads(operands, threads)? };
        let surplus = u32::from(matrices.subgroup_size_varies());
        // A word behind each line, be it along K or not.
        let buffer: u32 =
            self.sides.iter().map(|&side| WORD * (side * self.depth + side.max(k_step))).sum();
        let largest_round = |buffers: u32| {
            let bytes = workgroup_memory.checked_sub(buffers * buffer)?;
            self.largest_round(extent, fragments, threads, surplus, bytes)
        };
        let enough = ENOUGH_AT_ONCE.min(fragments[0] * fragments[1]);
        let at_once = if self.direct { 0 } else { 1 };
        let twice = largest_round(2).filter(|[rows, cols]| !self.direct && rows * cols >= enough);
        let [rows, cols] = twice.or_else(|| largest_round(at_once))?;
        Some(gemm_cooperative::Constants {
            extent,
            subgroups_m: self.subgroups[0],
            subgroups_n: self.subgroups[1],
            subgroup_size,
            surplus,
            rounds_m: fragments[0] / rows,
            rounds_n: fragments[1] / cols,
            rows,
            cols,
            k_step,
            unroll: if self.unrolled { k_step / extent } else { 1 },
            loads_a: loads[0],
            loads_b: loads[1],
            parts: WORD / 4 / operands.bytes() as u32,
            double: twice.is_some(),
            direct: self.direct,
            wide: !matrices.scalar_pointers,
            ..ConstantList::of(&meaning.list())
        })
    }

    /// Words of either operand that an invocation loads in a step, if all load as many, and those that follow each
    /// other in an invocation's list lie on the same place of their lines.
    fn loads(self, operands: Precision, threads: u32) -> Option<[u32; 2]> {
        let values = WORD / operands.bytes() as u32;
        for line in [self.sides[0], self.sides[1], self.k_step(operands)] {
            whole(threads, whole(line, values)?)?;
        }
        let [a, b] = self.sides.map(|side| whole(side * self.depth, threads));
        Some([a?, b?])
    }

    /// Rows and columns of the most fragments of a subgroup whose sums have room in `bytes`.
    fn largest_round(
        self,
        extent: u32,
        [rows, cols]: [u32; 2],
        threads: u32,
        surplus: u32,
        bytes: u32,
    ) -> Option<[u32; 2]> {
        let divisors = |n: u32| (1..=n).filter(move |&i| n.is_multiple_of(i));
        let rounds = divisors(rows).flat_map(|i| divisors(cols).map(move |j| [i, j]));
        let fits = |&[i, j]: &[u32; 2]| {
            let width = self.subgroups[1] * j * extent;
            let lines = (self.subgroups[0] + surplus) * i * extent;
            threads.is_multiple_of(width / 4) && 4 * lines * (width + 4) <= bytes
        };
        // Of equal ones the widest.
        rounds.filter(fits).max_by_key(|[i, j]| (i * j, *j))
    }
}

/// `number / divisor`, if that is a whole number other than 0.
pub(super) fn whole(number: u32, divisor: u32) -> Option<u32> {
    (number > 0 && number.is_multiple_of(divisor)).then(|| number / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProductLayout;

    const KIB: u32 = 1 << 10;
    const NVIDIA: CooperativeMatrices = CooperativeMatrices {
        f32: None,
        f16: Some(16),
        subgroup_sizes: [32, 32],
        scalar_pointers: false,
    };
    const APPLE: CooperativeMatrices = CooperativeMatrices {
        f32: Some(8),
        f16: Some(8),
        subgroup_sizes: [32, 32],
        scalar_pointers: true,
    };

    fn fitting(matrices: CooperativeMatrices, operands: Precision, bytes: u32) -> Vec<usize> {
        let fits = |i: &usize| CooperativeTile::ALL[*i].fits(matrices, operands, bytes);
        (0..CooperativeTile::ALL.len()).filter(fits).collect()
    }

    #[test]
    fn tiles_fit_their_devices() {
        let [single, half] = [Precision::F32, Precision::F16];
        assert_eq!(fitting(NVIDIA, half, 48 * KIB), (0..10).collect::<Vec<_>>());
        assert_eq!(fitting(NVIDIA, half, 16 * KIB), [0, 1, 2, 8, 9]);
        assert_eq!(fitting(APPLE, half, 32 * KIB), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(fitting(APPLE, single, 32 * KIB), [0, 1, 2, 3, 4, 5, 6, 8, 9]);
        // Eight subgroups of at most 64 are too many invocations.
        let amd = CooperativeMatrices { subgroup_sizes: [32, 64], ..NVIDIA };
        assert_eq!(fitting(amd, half, 64 * KIB), [0, 1, 2, 3, 4, 5, 8]);
        assert_eq!(fitting(NVIDIA, single, 48 * KIB), [0; 0], "there are none for f32");
        let wide = CooperativeMatrices { subgroup_sizes: [128, 128], ..NVIDIA };
        assert_eq!(fitting(wide, half, 48 * KIB), [0; 0], "512 invocations");
    }

    /// An invocation of a subgroup of 32 has 255 registers.
    #[test]
    fn sums_fit_the_registers() {
        for tile in CooperativeTile::ALL {
            let threads = 32 * tile.subgroups.iter().product::<u32>();
            assert!(tile.sides.iter().product::<u32>() / threads <= 128, "{tile:?}");
        }
    }

    #[test]
    fn workgroup_memory_is_used_as_far_as_there_is_some() {
        let of = |tile: usize, kib: u32| {
            let tile = CooperativeTile::ALL[tile];
            let meaning = gemm::Constants::default();
            let c = tile.constants(NVIDIA, Precision::F16, kib * KIB, meaning).expect("it fits");
            (c.double, [c.rounds_m, c.rounds_n], [c.rows, c.cols])
        };
        // A buffer of 10 KiB; all 2×2 fragments of a subgroup take 17 KiB, one takes 4.5.
        assert_eq!(of(1, 16), (false, [2, 2], [1, 1]));
        assert_eq!(of(1, 32), (false, [1, 1], [2, 2]));
        assert_eq!(of(1, 48), (true, [1, 1], [2, 2]));
        // Two of 20 KiB would leave room for one fragment of each subgroup.
        assert_eq!(of(4, 48), (false, [4, 1], [1, 4]));
        assert!(!of(9, 48).0, "there are no operands to buffer");
    }

    #[test]
    fn lines_are_whole_words_and_direct_products_whole_fragments() {
        let [staged, direct] = [1, 8].map(|i| CooperativeTile::ALL[i]);
        let shape = |operands, sizes| ProductShape::new(operands, ProductLayout::Nn, sizes);
        let takes =
            |tile: CooperativeTile, sizes| tile.takes(NVIDIA, &shape(Precision::F16, sizes));
        assert!(takes(staged, [7, 24, 40]));
        assert!(!takes(staged, [7, 24, 36]));
        assert!(!takes(direct, [7, 24, 40]));
        assert!(takes(direct, [16, 48, 64]));
        assert!(!takes(direct, [16, 48, 48]), "K is no whole step");
        let single = |sizes| staged.takes(APPLE, &shape(Precision::F32, sizes));
        assert!(single([7, 4, 36]) && !single([7, 4, 34]));
        assert!(!staged.takes(NVIDIA, &shape(Precision::F32, [16; 3])));
    }
}
