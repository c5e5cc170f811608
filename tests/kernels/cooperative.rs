//! Products of cooperative matrices: every tiling in every layout, with every epilogue, in both precisions.

use webmae::kernels::{Blocking, KernelTarget, Precision, Processor, Products};
use webmae::ops;
use webmae::program::Recorder;

use crate::bench::{Failures, cooperative_setups};
use crate::{gemm, half_precision};

/// Rows, width and hidden width of MLPs, whose products have every epilogue; the second crosses the edges of
/// all tiles.
const MLPS: [[usize; 3]; 2] = [[7, 8, 20], [140, 36, 132]];

/// Every product of whole vectors, and nothing but those that are meant to.
#[test]
fn they_are_recorded_where_chosen() {
    for operands in [Precision::F32, Precision::F16] {
        for extent in [8, 16] {
            let mut target = KernelTarget {
                products: Products::uniform(Blocking::ALL.len()),
                ..Processor::Gpu.into()
            };
            target.cooperative.subgroup_sizes = [32, 32];
            match operands {
                Precision::F32 => target.cooperative.f32 = Some(extent),
                Precision::F16 => target.cooperative.f16 = Some(extent),
            }
            for precision in [Precision::F32, Precision::F16] {
                let mut rec = Recorder::new(&target, true);
                let x = rec.external_of(precision, "x", [8, 12]);
                let weight = rec.external_of(precision, "weight", [20, 12]);
                ops::linear(&mut rec, x, weight, None);
                let kernels: Vec<_> = rec.kernels().collect();
                let [kernel] = kernels.as_slice() else { panic!("{kernels:?}") };
                let fragments = precision == operands;
                let expected = if fragments { "gemm_cooperative" } else { "gemm" };
                assert_eq!(kernel.shader, expected, "{precision:?} {target:?}");
                let has_extent = kernel.constants.contains(&("EXTENT", extent));
                assert_eq!(has_extent, fragments, "{precision:?} {target:?}");
            }
        }
    }
}

#[test]
fn products_in_f32() {
    let mut failures = Failures::default();
    let setups = cooperative_setups(Precision::F32);
    for setup in &setups {
        gemm::check_tiles(setup, &mut failures);
        for sizes in MLPS {
            gemm::check_mlp(setup, sizes, &mut failures);
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
