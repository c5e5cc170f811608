//! How a launch is divided, read off its kernel's constants and uniform.

use crate::kernels::{
    ConstantList, KernelKey, Precision, attention, attention_backward_cooperative,
    attention_cooperative, gemm, gemm_cooperative,
};
use crate::program::LaunchCounts;

/// What of a launch is tiled.
pub(super) enum Tiled {
    Product(Product),
    Attention(Attention),
}

/// Rows and columns of an attention workgroup's invocations.
pub(super) const SIDE: usize = 8;

/// A matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    /// M, N and K.
    pub sizes: [usize; 3],
    /// Workgroups that share the sum of one tile.
    pub parts: usize,
    /// How its operands are kept.
    pub operands: Precision,
    /// Rows and columns of a workgroup's tile.
    pub tile: [usize; 2],
    pub units: Units,
    /// K that a workgroup takes at once.
    pub k_step: usize,
    /// Whether operands go through workgroup memory, the next step's loaded while this one is multiplied.
    pub is_staged: bool,
    /// Whether GELU or its gradient follows.
    pub gelu: bool,
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// Vector units: rows and columns of an invocation.
    Vector([usize; 2]),
    /// Fragments of an extent: rows and columns of fragments of a subgroup.
    Fragments { extent: usize, fragments: [usize; 2] },
}

impl Product {
    /// Tiles along M and N.
    pub fn tiles(&self) -> [usize; 2] {
        [0, 1].map(|i| self.sizes[i].div_ceil(self.tile[i]))
    }
}

/// Attention of all heads, forward or backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attention {
    pub backward: bool,
    /// Tokens of a head.
    pub tokens: usize,
    /// Vectors of four values of a head, those included that fill its last fragment.
    pub vectors: usize,
    /// Queries and keys that a workgroup multiplies at a time.
    pub tile: [usize; 2],
    pub units: AttentionUnits,
}

/// What multiplies in attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttentionUnits {
    /// Vector units: queries, keys and vectors of four values of an invocation.
    Vector { queries: usize, keys: usize, own: usize },
    /// Fragments of an extent, whose operands take so many bytes.
    Fragments { extent: usize, bytes: usize },
}

impl Attention {
    /// Tiles of queries and of keys of one head.
    pub fn tiles(&self) -> [usize; 2] {
        self.tile.map(|tile| self.tokens.div_ceil(tile))
    }
}

impl Tiled {
    /// Whether fragments multiply.
    pub fn has_fragments(&self) -> bool {
        match self {
            Self::Product(product) => matches!(product.units, Units::Fragments { .. }),
            Self::Attention(attention) => {
                matches!(attention.units, AttentionUnits::Fragments { .. })
            }
        }
    }
}

/// How `launch` is tiled, if it is.
pub(super) fn tiled(launch: &LaunchCounts) -> Option<Tiled> {
    match launch.kernel.shader {
        "gemm" | "gemm_cooperative" => Some(Tiled::Product(product(launch))),
        "attention" => Some(Tiled::Attention(self::attention(launch, false))),
        "attention_backward" => Some(Tiled::Attention(self::attention(launch, true))),
        "attention_cooperative" => Some(Tiled::Attention(fragments_of_attention(launch))),
        "attention_backward_cooperative" => {
            Some(Tiled::Attention(fragments_of_attention_backward(launch)))
        }
        _ => None,
    }
}

fn product(launch: &LaunchCounts) -> Product {
    let gemm::Params { m, n, k, .. } = launch.params();
    let key = &launch.kernel;
    // The other kernel of products has the constants that say what is computed under the same names.
    let gemm::Constants { gelu, gelu_grad, .. } = ConstantList::of(&key.constants);
    let (tile, units, k_step, is_staged) = division(key);
    let mut product = Product {
        sizes: [m, n, k].map(|extent| extent as usize),
        parts: 1,
        operands: key.types.activations,
        tile,
        units,
        k_step,
        is_staged,
        gelu: gelu || gelu_grad,
    };
    product.parts = launch.groups as usize / product.tiles().iter().product::<usize>();
    product
}

/// Rows and columns of a workgroup's tile, what computes it, in which steps along K, and whether operands go through
/// workgroup memory.
fn division(key: &KernelKey) -> ([usize; 2], Units, usize, bool) {
    if key.shader == "gemm" {
        let gemm::Constants { threads_m, threads_n, rows, cols, depth, staged, .. } =
            ConstantList::of(&key.constants);
        let own = [4 * rows, 4 * cols].map(|extent| extent as usize);
        let tile = [own[0] * threads_m as usize, own[1] * threads_n as usize];
        return (tile, Units::Vector(own), 4 * depth as usize, staged);
    }
    let gemm_cooperative::Constants {
        extent,
        subgroups_m,
        subgroups_n,
        rounds_m,
        rounds_n,
        rows,
        cols,
        k_step,
        direct,
        ..
    } = ConstantList::of(&key.constants);
    let fragments = [rounds_m * rows, rounds_n * cols];
    let tile = [subgroups_m * fragments[0] * extent, subgroups_n * fragments[1] * extent];
    let fragments = fragments.map(|count| count as usize);
    let units = Units::Fragments { extent: extent as usize, fragments };
    (tile.map(|extent| extent as usize), units, k_step as usize, !direct)
}

fn attention(launch: &LaunchCounts, backward: bool) -> Attention {
    let attention::Params { tokens, .. } = launch.params();
    let attention::Constants { queries, keys, vectors, own, .. } =
        ConstantList::of(&launch.kernel.constants);
    let [tokens, queries, keys, vectors, own] =
        [tokens, queries, keys, vectors, own].map(|number| number as usize);
    let tile = [SIDE * queries, SIDE * keys];
    Attention {
        backward,
        tokens,
        vectors,
        tile,
        units: AttentionUnits::Vector { queries, keys, own },
    }
}

/// Rows of fragments of a workgroup: one for each of its subgroups.
const SUBGROUPS: usize = 4;

fn fragments_of_attention(launch: &LaunchCounts) -> Attention {
    let attention_cooperative::Constants { extent, depth, across, .. } =
        ConstantList::of(&launch.kernel.constants);
    let tile = [SUBGROUPS, across as usize];
    by_fragments(launch, false, tile, [extent, depth])
}

fn fragments_of_attention_backward(launch: &LaunchCounts) -> Attention {
    let attention_backward_cooperative::Constants { extent, depth, rows, .. } =
        ConstantList::of(&launch.kernel.constants);
    let tile = [rows as usize, SUBGROUPS];
    by_fragments(launch, true, tile, [extent, depth])
}

/// Of tiles in fragments.
fn by_fragments(
    launch: &LaunchCounts,
    backward: bool,
    tile: [usize; 2],
    fragments: [u32; 2],
) -> Attention {
    let attention::Params { tokens, .. } = launch.params();
    let [extent, depth] = fragments.map(|number| number as usize);
    let bytes = launch.kernel.types.activations.bytes() as usize;
    Attention {
        backward,
        tokens: tokens as usize,
        vectors: depth * extent / 4,
        tile: tile.map(|count| count * extent),
        units: AttentionUnits::Fragments { extent, bytes },
    }
}
