//! How products are divided on a card that is not there: as tuning would choose, but by the predicted time.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::kernels::{Division, KernelTarget, ProductShape, Tiling};
use crate::program::Recorder;
use crate::tune::{divisions, record_product, tilings};

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

/// `target`, which divides each of `shapes` so that the product alone, the sum of its parts included, takes least.
pub(super) fn choose(
    target: &KernelTarget,
    shapes: &BTreeSet<ProductShape>,
    mut seconds: impl FnMut(&Recorder) -> f64,
) -> KernelTarget {
    let mut chosen = target.clone();
    for &shape in shapes {
        let tilings = tilings(target, &[shape]);
        let divisions =
            tilings.into_iter().flat_map(|tiling| divisions(target, &shape, tiling, true));
        let timed = divisions
            .map(|division| (seconds(&record_product(target, shape, division, 1)), division));
        let best = timed.min_by(|a, b| a.0.total_cmp(&b.0));
        chosen.products.choose(shape, best.expect("a tiling for every adapter").1);
    }
    chosen
}
