//! Products of cooperative matrices: every tiling in every layout, with every epilogue, in both precisions.

use webmae::kernels::{CooperativeTile, KernelTarget, Precision, Processor, Products, Tiling};
use webmae::ops;
use webmae::program::Recorder;

use crate::bench::{Failures, cooperative_setups};
use crate::{gemm, half_precision};

/// Rows, outputs and inputs of linear layers, which are multiplied in every layout: less than a fragment, past the edges
/// of all tiles and of steps along K, and with a gradient in several parts.
const LINEAR: [[usize; 3]; 5] =
    [[1, 8, 8], [129, 72, 40], [66, 136, 24], [130, 264, 72], [600, 24, 16]];
/// The same of whole fragments.
const WHOLE_LINEAR: [[usize; 3]; 3] = [[64, 64, 64], [192, 320, 64], [576, 64, 192]];
/// Rows, width and hidden width of MLPs, whose products have every epilogue.
const MLPS: [[usize; 3]; 2] = [[7, 8, 24], [140, 40, 136]];
const WHOLE_MLPS: [[usize; 3]; 1] = [[192, 64, 128]];

fn tiles() -> impl Iterator<Item = (usize, CooperativeTile)> {
    Tiling::ALL.into_iter().enumerate().filter_map(|(number, tiling)| match tiling {
        Tiling::Cooperative(tile) => Some((number, tile)),
        Tiling::Blocked(_) => None,
    })
}

/// Every product that a tile takes, and no other.
#[test]
fn they_are_recorded_where_chosen() {
    for operands in [Precision::F32, Precision::F16] {
        for (extent, (number, tile)) in
            [8, 16].into_iter().flat_map(|e| tiles().map(move |t| (e, t)))
        {
            let mut target = KernelTarget {
                products: Products::uniform(number),
                workgroup_memory: 64 << 10,
                ..Processor::Gpu.into()
            };
            target.cooperative.subgroup_sizes = [32, 32];
            match operands {
                Precision::F32 => target.cooperative.f32 = Some(extent),
                Precision::F16 => target.cooperative.f16 = Some(extent),
            }
            for precision in [Precision::F32, Precision::F16] {
                for [rows, outputs, inputs] in [[7, 12, 20], [7, 8, 24], [64, 64, 64]] {
                    let mut rec = Recorder::new(&target, true);
                    let x = rec.external_of(precision, "x", [rows, inputs]);
                    let weight = rec.external_of(precision, "weight", [outputs, inputs]);
                    ops::linear(&mut rec, x, weight, None);
                    let kernels: Vec<_> = rec.kernels().collect();
                    let [kernel] = kernels.as_slice() else { panic!("{kernels:?}") };
                    let is_whole = rows == 64;
                    let takes =
                        is_whole || !tile.direct && (inputs == 24 || operands == Precision::F32);
                    let fragments = precision == operands && takes;
                    let expected = if fragments { "gemm_cooperative" } else { "gemm" };
                    let what = format!("{precision:?} {rows}×{inputs} {target:?}");
                    assert_eq!(kernel.shader, expected, "{what}");
                    assert_eq!(kernel.constants.contains(&("EXTENT", extent)), fragments, "{what}");
                }
            }
        }
    }
}

#[test]
fn products_in_f32() {
    let mut failures = Failures::default();
    let setups = cooperative_setups(Precision::F32);
    for (setup, tile) in &setups {
        let (linear, mlps) = sizes(tile);
        for (i, sizes) in linear.into_iter().enumerate() {
            gemm::check_linear(setup, sizes, i % 2 == 0, i % 3 != 1, i % 3 == 0, &mut failures);
        }
        for sizes in mlps {
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
    for (setup, tile) in &setups {
        let (linear, mlps) = sizes(tile);
        for (i, sizes) in linear.into_iter().enumerate() {
            half_precision::check_linear(setup, sizes, i % 2 == 0, &mut failures);
        }
        for sizes in mlps {
            half_precision::check_mlp(setup, sizes, &mut failures);
        }
    }
    if !setups.is_empty() {
        failures.report();
    }
}

/// What a tile takes of the sizes above.
fn sizes(tile: &CooperativeTile) -> (Vec<[usize; 3]>, Vec<[usize; 3]>) {
    if tile.direct {
        return (WHOLE_LINEAR.to_vec(), WHOLE_MLPS.to_vec());
    }
    (LINEAR.iter().chain(&WHOLE_LINEAR).copied().collect(), MLPS.to_vec())
}
