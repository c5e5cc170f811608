//! Matrix products: which kernel, how many workgroups.

use crate::gpu::shaders::{Access, Shader};
use crate::gpu::{
    Blocking, CooperativeMatrices, CooperativeTile, KernelTarget, ProductClass, ProductLayout,
    Tier, Tiling, texture,
};
use crate::program::{Recorder, Tensor};

/// What happens to the product before it is stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue {
    /// `[N]`, added to every row.
    pub bias: Option<Tensor>,
    /// Continue with GELU of the value so far.
    pub gelu: bool,
    /// With `gelu`, store in this tensor `[M,N]` what it is computed of.
    pub pre: Option<Tensor>,
    /// Multiply by GELU's derivative at the pre-activation that the output holds.
    pub gelu_grad: bool,
    /// `[M,N]`, added last.
    pub residual: Option<Tensor>,
    /// Add to what the output holds.
    pub accumulate: bool,
}

/// Records `out[M,N] = op(a) · op(b)` with an epilogue.
pub fn gemm(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes: [usize; 3],
    operands: [Tensor; 3],
    epilogue: Epilogue,
) {
    let kernel = Kernel::choose(rec, layout, sizes, operands[0]);
    launch(rec, kernel, sizes, operands, epilogue, 1);
}

/// Records `out[M,N] += op(a) · op(b)`. Where few tiles would leave a GPU idle, workgroups share the
/// sum over K: then the parts `[parts, M·N]` are returned, and are still to be added to `out`.
pub fn add_product(
    rec: &mut Recorder,
    layout: ProductLayout,
    sizes @ [m, n, k]: [usize; 3],
    [a, b, out]: [Tensor; 3],
) -> Option<Tensor> {
    let kernel = Kernel::choose(rec, layout, sizes, a);
    let wanted = if kernel.splits { parts_of_k(kernel.groups([m, n]), k) } else { 1 };
    let parts = k.div_ceil(k_of_part(k, wanted));
    let epilogue = Epilogue { accumulate: parts == 1, ..Default::default() };
    let partial = (parts > 1).then(|| rec.transient("partial products", [parts, m * n]));
    launch(rec, kernel, sizes, [a, b, partial.unwrap_or(out)], epilogue, parts);
    partial
}

fn launch(
    rec: &mut Recorder,
    kernel: Kernel,
    [m, n, k]: [usize; 3],
    [a, b, out]: [Tensor; 3],
    epilogue: Epilogue,
    parts: usize,
) {
    let groups = kernel.groups([m, n]) * parts;
    let mut constants = kernel.constants;
    if kernel.splits {
        constants.push(("SPLIT", u32::from(parts > 1)));
    }
    constants.extend([
        ("BIAS", u32::from(epilogue.bias.is_some())),
        ("GELU", u32::from(epilogue.gelu)),
        ("PRE", u32::from(epilogue.pre.is_some())),
        ("GELU_GRAD", u32::from(epilogue.gelu_grad)),
        ("RESIDUAL", u32::from(epilogue.residual.is_some())),
        ("ACCUMULATE", u32::from(epilogue.accumulate)),
    ]);
    let unused = rec.unused();
    // Kernels that read textures read the output as one, too.
    let reads_textures = Shader::named(kernel.shader).bindings.contains(&Access::Texture);
    let reads_out = epilogue.gelu_grad || epilogue.accumulate;
    let out_as_texture = (reads_textures && reads_out).then_some(out);
    let bindings = [
        a,
        b,
        epilogue.bias.unwrap_or(unused),
        epilogue.residual.or(out_as_texture).unwrap_or(unused),
        out,
        epilogue.pre.unwrap_or_else(|| rec.unused_out()),
    ];
    let uniform =
        [m, n, k, m.div_ceil(kernel.tile[0]), k_of_part(k, parts)].map(|size| size as u32);
    let flops = 2 * m as u64 * n as u64 * k as u64;
    rec.dispatch_with_flops(kernel.shader, &constants, &uniform, &bindings, groups, flops);
}

/// The share of K of each of `parts` parts.
fn k_of_part(k: usize, parts: usize) -> usize {
    k.div_ceil(parts).next_multiple_of(K_STEP)
}

/// Invocations of a workgroup of the direct kernels with subgroups.
const SUBGROUP_LANES: usize = crate::gpu::SMALLEST_SUBGROUP as usize;

/// K that a workgroup of a kernel that splits takes at once.
const K_STEP: usize = 16;

/// Into how many parts a sum over `k` is divided, so that a product of few tiles occupies a GPU.
fn parts_of_k(groups: usize, k: usize) -> usize {
    /// Workgroups that keep a large GPU busy.
    const ENOUGH: usize = 256;
    /// Shorter parts cost more in their final sum than they gain.
    const SHORTEST: usize = 256;
    ENOUGH.div_ceil(groups).min(k / SHORTEST).max(1)
}

/// A kernel of the family.
struct Kernel {
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    /// Rows and columns of the output that are computed together.
    tile: [usize; 2],
    /// Tiles of one workgroup.
    tiles_per_group: usize,
    /// Whether workgroups can share a sum over K.
    splits: bool,
}

impl Kernel {
    /// Workgroups for an output of `m × n`.
    fn groups(&self, [m, n]: [usize; 2]) -> usize {
        let tiles = m.div_ceil(self.tile[0]) * n.div_ceil(self.tile[1]);
        tiles.div_ceil(self.tiles_per_group)
    }

    /// On CPU drivers the direct kernels, on GPUs the blocked one or the cooperative ones: all read
    /// vectors along the contiguous dimensions. For sizes that are no whole vectors, the tiled one.
    fn choose(rec: &Recorder, layout: ProductLayout, [m, n, k]: [usize; 3], a: Tensor) -> Self {
        let target = rec.target();
        let whole = |sizes: [usize; 2]| sizes.iter().all(|size| size % 4 == 0);
        let vectors = match layout {
            ProductLayout::Nt | ProductLayout::Nn => whole([n, k]),
            ProductLayout::Tn => whole([m, n]),
        };
        let transposed = [
            ("TRANS_A", u32::from(layout == ProductLayout::Tn)),
            ("TRANS_B", u32::from(layout == ProductLayout::Nt)),
        ];
        if !vectors {
            return Self {
                shader: "gemm_tiled",
                constants: transposed.to_vec(),
                tile: [64, 64],
                tiles_per_group: 1,
                splits: false,
            };
        }
        if target.tier == Tier::Gpu {
            let class = ProductClass::of(rec.kept_in(a), layout, [m, n]);
            return Self::tiled(target, class, &transposed);
        }
        let operands = [m * k, n * k, m * n];
        if target.tier == Tier::CpuTextures && operands.iter().all(|&len| texture::fits(len)) {
            let shaders = ["gemm_texture_nt", "gemm_texture_nn", "gemm_texture_tn"];
            let rows = if layout == ProductLayout::Tn { 16 } else { 12 };
            return Self::direct(shaders, layout, 8, [rows, 2]);
        }
        // Where a load from a buffer costs as much as eight multiplications, tiles are larger than registers.
        if target.subgroups {
            let shaders = ["gemm_subgroup_nt", "gemm_subgroup_nn", "gemm_subgroup_tn"];
            // The narrower tiles where the wider ones would waste more beyond the edge.
            let padded = |cols: usize| n.next_multiple_of(SUBGROUP_LANES * 4 * cols);
            let cols = if padded(3) < padded(4) { 3 } else { 4 };
            let mut kernel = Self::direct(shaders, layout, SUBGROUP_LANES, [16, cols]);
            kernel.tile[1] *= SUBGROUP_LANES;
            kernel.tiles_per_group = 1;
            return kernel;
        }
        let shaders = ["gemm_direct_nt", "gemm_direct_nn", "gemm_direct_tn"];
        Self::direct(shaders, layout, 4, [16, 4])
    }

    /// One of the `gemm_direct` family, by layout: `lanes` tiles a workgroup of `rows` × `cols` vectors.
    fn direct(
        shaders: [&'static str; 3],
        layout: ProductLayout,
        lanes: usize,
        [rows, cols]: [usize; 2],
    ) -> Self {
        Self {
            shader: shaders[layout as usize],
            constants: vec![
                ("LANES", lanes as u32),
                ("ROWS", rows as u32 / 4),
                ("COLS", cols as u32),
            ],
            tile: [rows, 4 * cols],
            tiles_per_group: lanes,
            splits: false,
        }
    }

    /// The kernel for a class of products in [`Tier::Gpu`].
    fn tiled(
        target: KernelTarget,
        class: ProductClass,
        transposed: &[(&'static str, u32)],
    ) -> Self {
        let (shader, constants, tile) = match target.tiling(class) {
            Tiling::Blocked(blocking) => {
                ("gemm_blocked", blocking_constants(blocking).to_vec(), blocking.tile())
            }
            Tiling::Cooperative(tile) => {
                let matrices = target.cooperative;
                let extent = matrices.extent(class.operands).expect("a tiling that is offered");
                let shader =
                    if extent == 16 { "gemm_cooperative_16" } else { "gemm_cooperative_8" };
                let constants = cooperative_constants(tile, matrices);
                (shader, constants.to_vec(), tile.tile(extent))
            }
        };
        let constants = [transposed, &constants].concat();
        Self { shader, constants, tile, tiles_per_group: 1, splits: true }
    }
}

fn blocking_constants(Blocking { threads, vectors }: Blocking) -> [(&'static str, u32); 4] {
    [
        ("THREADS_M", threads[0]),
        ("THREADS_N", threads[1]),
        ("ROWS", vectors[0]),
        ("COLS", vectors[1]),
    ]
}

fn cooperative_constants(
    CooperativeTile { subgroups, fragments }: CooperativeTile,
    matrices: CooperativeMatrices,
) -> [(&'static str, u32); 6] {
    [
        ("SUBGROUPS_M", subgroups[0]),
        ("SUBGROUPS_N", subgroups[1]),
        ("ROWS", fragments[0]),
        ("COLS", fragments[1]),
        ("SUBGROUP_SIZE", matrices.subgroup_sizes[1]),
        ("VARIES", u32::from(matrices.subgroup_size_varies())),
    ]
}
