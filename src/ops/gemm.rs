//! Matrix products: which kernel, how many workgroups.

use crate::gpu::{Tier, texture};
use crate::program::{Recorder, Tensor};

/// Which operand is transposed. All matrices are row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `A[M,K] · B[N,K]ᵀ`: a linear layer's forward pass.
    Nt,
    /// `A[M,K] · B[K,N]`: its input gradient.
    Nn,
    /// `A[K,M]ᵀ · B[K,N]`: its weight gradient.
    Tn,
}

/// What happens to the product before it is stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue {
    /// `[N]`, added to every row.
    pub bias: Option<Tensor>,
    /// Store this pre-activation `[M,N]` and GELU of it in the output.
    pub gelu: Option<Tensor>,
    /// Multiply by GELU's derivative at this pre-activation `[M,N]`.
    pub gelu_grad: Option<Tensor>,
    /// `[M,N]`, added last.
    pub residual: Option<Tensor>,
    /// Add to what the output holds.
    pub accumulate: bool,
}

/// Records `out[M,N] = op(a) · op(b)` with an epilogue.
pub fn gemm(
    rec: &mut Recorder,
    layout: Layout,
    [m, n, k]: [usize; 3],
    [a, b, out]: [Tensor; 3],
    epilogue: Epilogue,
) {
    let kernel = Kernel::choose(rec.tier(), layout, [m, n, k]);
    let groups_m = m.div_ceil(kernel.tile[0]);
    let groups = (groups_m * n.div_ceil(kernel.tile[1])).div_ceil(kernel.tiles_per_group);
    let mut constants = kernel.constants;
    constants.extend([
        ("BIAS", u32::from(epilogue.bias.is_some())),
        ("GELU", u32::from(epilogue.gelu.is_some())),
        ("GELU_GRAD", u32::from(epilogue.gelu_grad.is_some())),
        ("RESIDUAL", u32::from(epilogue.residual.is_some())),
        ("ACCUMULATE", u32::from(epilogue.accumulate)),
    ]);
    let unused = rec.unused();
    let bindings = [
        a,
        b,
        epilogue.bias.unwrap_or(unused),
        epilogue.gelu_grad.or(epilogue.residual).unwrap_or(unused),
        out,
        epilogue.gelu.unwrap_or_else(|| rec.unused_out()),
    ];
    let uniform = [m, n, k, groups_m].map(|size| size as u32);
    let flops = 2 * m as u64 * n as u64 * k as u64;
    rec.dispatch_with_flops(kernel.shader, &constants, &uniform, &bindings, groups, flops);
}

/// A kernel of the family.
struct Kernel {
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    /// Rows and columns of the output that are computed together.
    tile: [usize; 2],
    /// Tiles of one workgroup.
    tiles_per_group: usize,
}

impl Kernel {
    /// On CPU drivers the direct kernels, which read vectors along the contiguous dimensions;
    /// elsewhere, and for sizes that are no whole vectors, the tiled one.
    fn choose(tier: Tier, layout: Layout, [m, n, k]: [usize; 3]) -> Self {
        let whole = |sizes: [usize; 2]| sizes.iter().all(|size| size % 4 == 0);
        let (direct, textured, rows, vectors) = match layout {
            Layout::Nt => ("gemm_direct_nt", "gemm_texture_nt", 12, whole([n, k])),
            Layout::Nn => ("gemm_direct_nn", "gemm_texture_nn", 12, whole([n, k])),
            Layout::Tn => ("gemm_direct_tn", "gemm_texture_tn", 16, whole([m, n])),
        };
        let operands = [m * k, n * k, m * n];
        let fit = operands.iter().all(|&len| texture::fits(4 * len as u64));
        let shader = if tier == Tier::CpuTextures && fit { textured } else { direct };
        if tier == Tier::Gpu || !vectors {
            let constants = vec![
                ("TRANS_A", u32::from(layout == Layout::Tn)),
                ("TRANS_B", u32::from(layout == Layout::Nt)),
            ];
            return Self { shader: "gemm_tiled", constants, tile: [64, 64], tiles_per_group: 1 };
        }
        Self { shader, constants: Vec::new(), tile: [rows, 8], tiles_per_group: 8 }
    }
}
