//! Products of cooperative matrices: every tiling in every layout, with every epilogue, in both precisions.

use webmae::gpu::Precision;

use crate::bench::{Failures, cooperative_setups};
use crate::{half_precision, linear};

/// Rows, width and hidden width of MLPs, whose products have every epilogue; the second crosses the edges of
/// all tiles.
const MLPS: [[usize; 3]; 2] = [[7, 8, 20], [140, 36, 132]];

#[test]
fn products_in_f32() {
    let mut failures = Failures::default();
    let setups = cooperative_setups(Precision::F32);
    for setup in &setups {
        linear::check_tiles(setup, &mut failures);
        for sizes in MLPS {
            linear::check_mlp(setup, sizes, &mut failures);
        }
    }
    if !setups.is_empty() {
        failures.report();
    }
}

#[test]
fn products_in_f16() {
    let mut failures = Failures::default();
    let setups = cooperative_setups(Precision::F16);
    for setup in &setups {
        for (i, sizes) in
            [[1, 4, 4], [129, 68, 36], [66, 132, 20], [600, 20, 12]].into_iter().enumerate()
        {
            half_precision::check_linear(setup, sizes, i % 2 == 0, &mut failures);
        }
        for sizes in MLPS {
            half_precision::check_mlp(setup, sizes, &mut failures);
        }
    }
    if !setups.is_empty() {
        failures.report();
    }
}
