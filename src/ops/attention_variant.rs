//! Which kernel computes attention, and what each workgroup has of it.

#[cfg(feature = "gpu")]
use crate::kernels::{AttentionForm, attention_direct, cooperative_attention};
use crate::kernels::{AttentionShape, ConstantList, KernelTarget, attention};

/// The kernel of one pass.
pub(super) struct Variant {
    /// Shader and constants.
    pub kernel: (&'static str, Vec<(&'static str, u32)>),
    /// Queries of a workgroup; backward one has all of a head's.
    pub queries: usize,
}

impl Variant {
    /// As the target computes attention of `shape`.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "twins divide their work"))]
    pub fn forward(target: &KernelTarget, shape: AttentionShape, dropout: bool) -> Self {
        #[cfg(feature = "gpu")]
        match target.attention(&shape) {
            AttentionForm::Staged => {}
            AttentionForm::Direct => {
                let rows = if shape.dim > 64 { 1 } else { 2 };
                return Self::direct("attention_direct", rows, shape, dropout);
            }
            AttentionForm::Cooperative => {
                let (matrices, memory) = (target.cooperative, target.workgroup_memory);
                let meaning = meaning(shape, dropout);
                let constants = cooperative_attention::forward(matrices, &shape, memory, &meaning)
                    .expect("a form that is offered");
                let queries = cooperative_attention::queries(constants.extent);
                return Self { kernel: ("attention_cooperative", constants.list()), queries };
            }
        }
        Self::staged("attention", Tile::forward(shape.dim as usize), shape, dropout)
    }

    /// The same for the gradients.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "twins divide their work"))]
    pub fn backward(target: &KernelTarget, shape: AttentionShape, dropout: bool) -> Self {
        #[cfg(feature = "gpu")]
        match target.attention(&shape) {
            AttentionForm::Staged => {}
            AttentionForm::Direct => {
                // Two sums for every row.
                let rows = if shape.dim > 32 { 1 } else { 2 };
                return Self::direct("attention_backward_direct", rows, shape, dropout);
            }
            AttentionForm::Cooperative => {
                let (matrices, memory) = (target.cooperative, target.workgroup_memory);
                let meaning = meaning(shape, dropout);
                let constants = cooperative_attention::backward(matrices, &shape, memory, &meaning)
                    .expect("a form that is offered");
                let kernel = ("attention_backward_cooperative", constants.list());
                return Self { kernel, queries: shape.tokens as usize };
            }
        }
        Self::staged("attention_backward", Tile::backward(shape.dim as usize), shape, dropout)
    }

    /// With so many rows of a quad that an invocation's registers hold its quarter of their sums.
    #[cfg(feature = "gpu")]
    fn direct(shader: &'static str, rows: u32, shape: AttentionShape, dropout: bool) -> Self {
        /// Quads of a workgroup; `attention/direct.wgsl` has the same number.
        const QUADS: u32 = 16;
        let constants = attention_direct::Constants {
            rows,
            cols: 2,
            own: shape.dim.div_ceil(16),
            ..ConstantList::of(&meaning(shape, dropout).list())
        };
        Self { kernel: (shader, constants.list()), queries: (QUADS * rows) as usize }
    }

    fn staged(shader: &'static str, tile: Tile, shape: AttentionShape, dropout: bool) -> Self {
        let Tile { queries, keys } = tile;
        let constants = attention::Constants {
            queries: queries as u32,
            keys: keys as u32,
            own: shape.dim.div_ceil(4 * SIDE as u32),
            ..meaning(shape, dropout)
        };
        Self { kernel: (shader, constants.list()), queries: SIDE * queries }
    }
}

/// What is computed, whatever the kernel.
fn meaning(shape: AttentionShape, dropout: bool) -> attention::Constants {
    attention::Constants {
        dim_head: shape.dim,
        vectors: shape.dim.div_ceil(4),
        scalar: !shape.dim.is_multiple_of(4),
        dropout,
        ..Default::default()
    }
}

/// Rows and columns of a workgroup's invocations; `attention/heads.wgsl` has the same number.
const SIDE: usize = 8;

/// Queries and keys of an invocation: as many as registers and 16 KiB of workgroup memory hold.
#[derive(Debug, Clone, Copy)]
struct Tile {
    queries: usize,
    keys: usize,
}

impl Tile {
    /// For heads of `dim` values.
    fn forward(dim: usize) -> Self {
        match dim {
            ..=32 => Self { queries: 4, keys: 4 },
            33..=64 => Self { queries: 4, keys: 2 },
            65..=96 => Self { queries: 2, keys: 2 },
            _ => Self { queries: 2, keys: 1 },
        }
    }

    /// The same for the backward pass, which also has values, dO and two matrices of weights in that memory.
    fn backward(dim: usize) -> Self {
        match dim {
            ..=32 => Self { queries: 2, keys: 4 },
            33..=64 => Self { queries: 2, keys: 2 },
            65..=80 => Self { queries: 1, keys: 2 },
            81..=96 => Self { queries: 2, keys: 1 },
            _ => Self { queries: 1, keys: 1 },
        }
    }
}
