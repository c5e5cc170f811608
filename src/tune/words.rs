//! Tilings by their names, and what was measured as JSON.

use serde::Serialize;

use super::{AttentionTuning, Measured, MeasuredAttention, ShapeTuning, Tuning};
use crate::gpu::{AdapterSummary, Gpu};
use crate::kernels::{
    AttentionForm, CooperativeMatrices, Precision, ProductLayout, Products, Tiling,
};

/// The tile of a product of `operands`, and what a thread or a subgroup computes of it.
pub fn tile_name(tiling: usize, operands: Precision) -> String {
    match Tiling::ALL[tiling] {
        Tiling::Blocked(blocking) => {
            let [m, n] = blocking.tile();
            let [rows, columns] = blocking.vectors.map(|n| 4 * n);
            let way = match blocking.buffers {
                0 => "direct".to_owned(),
                _ => format!("k{}", blocking.k_step()),
            };
            format!("{m}×{n}/{rows}×{columns} {way}")
        }
        Tiling::Cooperative(tile) => format!("{} coop", tile.describe(operands)),
    }
}

/// A product, as a formula of its operands.
pub fn layout_name(layout: ProductLayout) -> &'static str {
    match layout {
        ProductLayout::Nt => "A·Bᵀ",
        ProductLayout::Nn => "A·B",
        ProductLayout::Tn => "Aᵀ·B",
    }
}

/// The name of a tiling that gave wrong products on a GPU with these fragments.
pub fn refused_name(matrices: CooperativeMatrices, tiling: usize) -> String {
    let has = |&precision: &Precision| {
        matches!(Tiling::ALL[tiling], Tiling::Blocked(_)) || matrices.extent(precision).is_some()
    };
    let precision = [Precision::F16, Precision::F32].into_iter().find(has).unwrap_or_default();
    tile_name(tiling, precision)
}

/// The names of all that came out wrong on a GPU with these fragments.
pub fn refused_names(matrices: CooperativeMatrices, products: &Products) -> Vec<String> {
    let tilings = products.refused().map(|tiling| refused_name(matrices, tiling));
    let forms = products.refused_attention().map(|form| format!("{} attention", form.name()));
    tilings.chain(forms).collect()
}

/// How the products of a device are divided best, and its attention is computed.
#[derive(Debug, Clone, Serialize)]
pub struct TuningRecord {
    /// The device.
    pub adapter: AdapterSummary,
    /// By shape.
    pub products: Vec<ProductRecord>,
    /// Tiles that gave wrong products, and are not used.
    pub wrong: Vec<String>,
    /// Attention, by shape.
    pub attention: Vec<AttentionRecord>,
    /// Forms in which attention came out wrong, and which are not used.
    pub wrong_attention: Vec<AttentionForm>,
}

/// How fast attention of one shape is, forward and backward.
#[derive(Debug, Clone, Serialize)]
pub struct AttentionRecord {
    /// How queries, keys and values are kept.
    pub operands: Precision,
    /// Tokens of a sample.
    pub tokens: u32,
    /// Values of a head.
    pub dim_head: u32,
    /// The fastest first; none where there is but one form.
    pub measured: Vec<FormRecord>,
}

/// One way of computing attention.
#[derive(Debug, Clone, Serialize)]
pub struct FormRecord {
    /// The kernels.
    pub form: AttentionForm,
    /// Floating-point operations, 10⁹ a second.
    pub gflops: f64,
    /// Whether it was chosen: the fastest that is right.
    pub used: bool,
}

/// How fast each division of the products of one shape is.
#[derive(Debug, Clone, Serialize)]
pub struct ProductRecord {
    /// How they are kept.
    pub operands: Precision,
    /// Which of them is transposed.
    pub layout: &'static str,
    /// `[M, N, K]`.
    pub sizes: [u32; 3],
    /// Those of the part of it that was timed.
    pub timed: [u32; 3],
    /// The fastest first.
    pub measured: Vec<DivisionRecord>,
}

/// One way of dividing a product.
#[derive(Debug, Clone, Serialize)]
pub struct DivisionRecord {
    /// The tile, by its name.
    pub tile: String,
    /// Shares of the sum over K.
    pub parts: usize,
    /// Floating-point operations, 10⁹ a second.
    pub gflops: f64,
    /// Whether it was chosen: the fastest that is right.
    pub used: bool,
}

impl TuningRecord {
    /// What was measured on `gpu`.
    pub fn new(gpu: &Gpu, tuning: &Tuning) -> Self {
        let matrices = gpu.target().cooperative;
        let refused = tuning.refused.iter().map(|&tiling| refused_name(matrices, tiling));
        Self {
            adapter: gpu.adapter().clone(),
            products: tuning.shapes.iter().map(ProductRecord::new).collect(),
            wrong: refused.collect(),
            attention: tuning.attentions.iter().map(AttentionRecord::new).collect(),
            wrong_attention: tuning.refused_attention.iter().copied().collect(),
        }
    }
}

impl AttentionRecord {
    fn new(AttentionTuning { shape, measured, chosen }: &AttentionTuning) -> Self {
        let form = |&MeasuredAttention { form, gflops }: &MeasuredAttention| FormRecord {
            form,
            gflops,
            used: form == *chosen,
        };
        Self {
            operands: shape.operands,
            tokens: shape.tokens,
            dim_head: shape.dim,
            measured: measured.iter().map(form).collect(),
        }
    }
}

impl ProductRecord {
    fn new(ShapeTuning { shape, timed, measured, chosen }: &ShapeTuning) -> Self {
        let division = |candidate: &Measured| DivisionRecord {
            tile: tile_name(candidate.division.tiling, shape.operands),
            parts: candidate.division.parts,
            gflops: candidate.gflops,
            used: candidate.division == *chosen,
        };
        Self {
            operands: shape.operands,
            layout: layout_name(shape.layout),
            sizes: shape.sizes,
            timed: *timed,
            measured: measured.iter().map(division).collect(),
        }
    }
}
