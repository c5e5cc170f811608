//! How products are divided on a card that is not there: as tuning would choose, but by the predicted time.

use serde::Serialize;

use crate::kernels::{AttentionForm, Division, KernelTarget, ProductShape, ProgramShapes, Tiling};
use crate::program::Recorder;
use crate::tune::{divisions, record_attention, record_product, tilings};

/// A product and how it is divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChosenTile {
    /// The product.
    #[serde(flatten)]
    pub shape: ProductShape,
    /// Rows and columns of a workgroup's tile.
    pub tile: [usize; 2],
    /// Workgroups that share the sum over K of a tile.
    pub parts: usize,
    /// Rows and columns of the fragments, where there are some.
    pub fragments: Option<u32>,
}

impl ChosenTile {
    /// As `target` divides `shape`.
    pub(super) fn of(target: &KernelTarget, shape: ProductShape) -> Self {
        let Division { tiling, parts } = target.division(&shape);
        let fragments = match Tiling::ALL[tiling] {
            Tiling::Blocked(_) => None,
            Tiling::Cooperative(_) => target.cooperative.extent(shape.operands),
        };
        Self { shape, tile: Tiling::ALL[tiling].tile(), parts, fragments }
    }
}

/// `target`, which divides each product of `shapes` so that it takes least alone, the sum of its parts included, and
/// computes attention in the form that does.
pub(super) fn choose(
    target: &KernelTarget,
    shapes: &ProgramShapes,
    mut seconds: impl FnMut(&Recorder) -> f64,
) -> KernelTarget {
    let mut chosen = target.clone();
    for &shape in &shapes.products {
        let tilings = tilings(target, &[shape]);
        let divisions =
            tilings.into_iter().flat_map(|tiling| divisions(target, &shape, tiling, true));
        let timed = divisions
            .map(|division| (seconds(&record_product(target, shape, division, 1)), division));
        let best = timed.min_by(|a, b| a.0.total_cmp(&b.0));
        chosen.products.choose(shape, best.expect("a tiling for every adapter").1);
    }
    for &shape in &shapes.attentions {
        // (The third form is for GPUs of another kind.)
        let forms = [AttentionForm::Staged, AttentionForm::Cooperative];
        let offered = forms.into_iter().filter(|&form| target.offers_attention(form, &shape));
        let timed = offered.map(|form| (seconds(&record_attention(target, shape, form)), form));
        let best = timed.min_by(|a, b| a.0.total_cmp(&b.0));
        chosen.products.choose_attention(shape, best.expect("a form for every adapter").1);
    }
    chosen
}
