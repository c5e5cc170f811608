//! Tiles of products on a card that is not there: those with the shortest predicted step, as tuning would choose by the
//! clock.

use serde::Serialize;

use super::tile::{Product, Tiled, Units, tiled};
use crate::kernels::{KernelTarget, Precision, ProductClass, ProductLayout, Tiling};
use crate::program::LaunchCounts;

/// The tiles of products that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChosenTile {
    /// How the operands are kept.
    pub operands: Precision,
    /// `A·Bᵀ`, `A·B` or `Aᵀ·B`.
    pub product: &'static str,
    /// Whether the output is large enough for the largest tiles.
    pub large: bool,
    /// Rows and columns of a workgroup's tile.
    pub tile: [usize; 2],
    /// Rows and columns of the fragments, where there are some.
    pub fragments: Option<usize>,
}

/// `target` with the tilings that make `seconds`, the time of a step recorded for a target, shortest. Classes are
/// chosen one by one, which is as good as together: no product's time depends on the tiles of another.
pub(super) fn choose(
    mut target: KernelTarget,
    classes: &[ProductClass],
    mut seconds: impl FnMut(KernelTarget) -> f64,
) -> KernelTarget {
    for &class in classes {
        let offered = (0..Tiling::ALL.len())
            .filter(|&tiling| target.offers(Tiling::ALL[tiling], class.operands));
        let with = |tiling| {
            let mut target = target;
            target.products.set(class, tiling);
            target
        };
        let timed = offered.map(|tiling| (seconds(with(tiling)), tiling));
        let best = timed.min_by(|a, b| a.0.total_cmp(&b.0));
        target = with(best.expect("a tiling for every adapter").1);
    }
    target
}

/// The classes of the products among `launches`, in the order in which they come.
pub(super) fn classes<'a>(launches: impl Iterator<Item = &'a LaunchCounts>) -> Vec<ProductClass> {
    let mut classes = Vec::new();
    for product in launches.filter_map(product) {
        if !classes.contains(&product.class()) {
            classes.push(product.class());
        }
    }
    classes
}

/// The tiles that the products among `launches` have, each once.
pub(super) fn chosen<'a>(launches: impl Iterator<Item = &'a LaunchCounts>) -> Vec<ChosenTile> {
    let mut chosen = Vec::new();
    for product in launches.filter_map(product) {
        let tile = ChosenTile {
            operands: product.operands,
            product: match product.layout {
                ProductLayout::Nt => "A·Bᵀ",
                ProductLayout::Nn => "A·B",
                ProductLayout::Tn => "Aᵀ·B",
            },
            large: product.class().large,
            tile: product.tile,
            fragments: match product.units {
                Units::Vector(_) => None,
                Units::Fragments { extent, .. } => Some(extent),
            },
        };
        if !chosen.contains(&tile) {
            chosen.push(tile);
        }
    }
    chosen
}

fn product(launch: &LaunchCounts) -> Option<Product> {
    match tiled(launch) {
        Some(Tiled::Product(product)) => Some(product),
        _ => None,
    }
}
