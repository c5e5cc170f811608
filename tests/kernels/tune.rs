//! Measuring which tiles suit a gpu.

use pollster::block_on;
use webmae::gpu::{Gpu, GpuOptions};
use webmae::kernels::{Precision, ProductClass, Tiling};
use webmae::tune::{Tuning, key};

fn open(options: GpuOptions) -> Gpu {
    block_on(Gpu::new(&options)).expect("the tests need a graphics adapter")
}

#[test]
fn every_tiling_is_measured() {
    let gpu = open(GpuOptions::default());
    let (before, target) = (gpu.allocated_bytes(), gpu.target());
    // A weight gradient of 512 rows is summed in two parts.
    let tuning = block_on(Tuning::measure_sizes(&gpu, |_| [8, 16, 512])).expect("rates");
    for (class, rates) in ProductClass::ALL.into_iter().zip(tuning.gflops) {
        let measured = class.operands == Precision::F32 || target.cooperative.f16.is_some();
        for (tiling, rate) in Tiling::ALL.into_iter().zip(rates) {
            // One that is offered and has no rate gave wrong products.
            let expected = measured && target.offers(tiling, class.operands);
            assert_eq!(rate.is_some(), expected, "{class:?} {tiling:?}");
            assert!(rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "{rate:?}");
        }
    }
    assert_eq!(gpu.allocated_bytes(), before, "nothing stays on the gpu");
    let chosen = tuning.products();
    gpu.set_products(chosen);
    assert_eq!(gpu.target().products, chosen);
}

/// What is left aside is not used, and choices made with it are not taken for such without.
#[test]
fn features_can_be_left_aside() {
    let open_without = |without_cooperative_matrices, without_subgroups| {
        open(GpuOptions { without_cooperative_matrices, without_subgroups, ..Default::default() })
    };
    let (all, without, neither) =
        (open_without(false, false), open_without(true, false), open_without(false, true));
    assert_eq!(all.target().cooperative, all.adapter().cooperative);
    assert_eq!(without.target().subgroups, all.target().subgroups);
    assert!(!neither.target().subgroups);
    for gpu in [without, neither] {
        assert!(!gpu.target().cooperative.any());
        assert_eq!(key(&gpu) == key(&all), !all.target().cooperative.any());
    }
}
