//! How attention by cooperative matrices divides its work: see `shaders/attention/cooperative.wgsl`.

use super::attention_form::AttentionShape;
use super::cooperative::{CooperativeMatrices, MAX_THREADS, WORD, whole};
use super::{ConstantList, attention, attention_backward_cooperative, attention_cooperative};

/// Subgroups of a workgroup.
const SUBGROUPS: u32 = 4;
/// Values of a head with those that fill its last fragment: registers hold no more.
const WIDEST: u32 = 80;
/// Queries that the backward pass takes at once: of more, little else would fit beside them.
const BACKWARD_QUERIES: u32 = 32;

/// What either pass has of a device and of its heads.
struct Division {
    matrices: CooperativeMatrices,
    extent: u32,
    threads: u32,
    surplus: u32,
    /// Bytes of a value, and values of 16 bytes.
    bytes: u32,
    word: u32,
    /// Fragments along the values of a head.
    depth: u32,
}

impl Division {
    fn of(matrices: CooperativeMatrices, shape: &AttentionShape) -> Option<Self> {
        let extent = matrices.extent(shape.operands)?;
        let bytes = shape.operands.bytes() as u32;
        let division = Self {
            matrices,
            extent,
            threads: SUBGROUPS * matrices.subgroup_sizes[1],
            surplus: u32::from(matrices.subgroup_size_varies()),
            bytes,
            word: WORD / bytes,
            depth: shape.dim.div_ceil(extent),
        };
        let is_possible = division.threads <= MAX_THREADS
            && shape.dim.is_multiple_of(division.word)
            && division.width() <= WIDEST;
        is_possible.then_some(division)
    }

    fn width(&self) -> u32 {
        self.depth * self.extent
    }

    /// Bytes of lines of operands of so many values.
    fn staged(&self, lines: u32, values: u32) -> u32 {
        lines * (values + self.word) * self.bytes
    }

    fn sums(lines: u32, values: u32) -> u32 {
        4 * lines * (values + 4)
    }
}

/// Queries of a workgroup of the forward kernel.
pub fn queries(extent: u32) -> usize {
    (SUBGROUPS * extent) as usize
}

/// The constants of the forward kernel for a computation that means `meaning`, if it can be done by fragments of
/// `matrices` in so many bytes of workgroup memory.
pub fn forward(
    matrices: CooperativeMatrices,
    shape: &AttentionShape,
    workgroup_memory: u32,
    meaning: &attention::Constants,
) -> Option<attention_cooperative::Constants> {
    let division = Division::of(matrices, shape)?;
    let Division { extent, threads, surplus, depth, .. } = division;
    let queries = SUBGROUPS * extent;
    let shares = whole(threads, queries)?;
    let bytes = |across: u32| {
        let keys = across * extent;
        division.staged(2 * keys, division.width())
            + division.staged(queries, keys)
            + Division::sums(queries + surplus * extent, keys.max(division.width()))
            + 4 * threads
    };
    // Two fragments of keys and two of values have room for the queries.
    let most = shape.tokens.div_ceil(extent).clamp(2, 4);
    let fits = |&across: &u32| {
        whole(across * extent / 4, shares).is_some() && bytes(across) <= workgroup_memory
    };
    let across = (2..=most).rev().find(fits)?;
    Some(attention_cooperative::Constants {
        extent,
        subgroup_size: matrices.subgroup_sizes[1],
        surplus,
        parts: division.word / 4,
        wide: !division.matrices.scalar_pointers,
        depth,
        across,
        quads: across * extent / 4 / shares,
        pieces: (division.width() / 4).div_ceil(shares),
        ..ConstantList::of(&meaning.list())
    })
}

/// The same of the backward kernel.
pub fn backward(
    matrices: CooperativeMatrices,
    shape: &AttentionShape,
    workgroup_memory: u32,
    meaning: &attention::Constants,
) -> Option<attention_backward_cooperative::Constants> {
    let division = Division::of(matrices, shape)?;
    let Division { extent, threads, surplus, depth, .. } = division;
    let rows = BACKWARD_QUERIES / extent;
    let (queries, keys) = (rows * extent, SUBGROUPS * extent);
    let spare = surplus.max(u32::from(!(rows * depth).is_multiple_of(SUBGROUPS)));
    let bytes = division.staged(keys + (2 * queries).max(keys), division.width())
        + division.staged(2 * queries, keys)
        + Division::sums(queries, keys.max(division.width()) + spare * extent);
    let quads = whole(queries * keys / 4, threads)?;
    (bytes <= workgroup_memory).then(|| attention_backward_cooperative::Constants {
        extent,
        subgroup_size: matrices.subgroup_sizes[1],
        surplus,
        parts: division.word / 4,
        wide: !division.matrices.scalar_pointers,
        depth,
        quads,
        rows,
        own: (rows * depth).div_ceil(SUBGROUPS),
        spare,
        ..ConstantList::of(&meaning.list())
    })
}
