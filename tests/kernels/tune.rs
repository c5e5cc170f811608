//! Measuring which tiles suit a device.

use pollster::block_on;
use webmae::gpu::GpuOptions;
use webmae::kernels::{Precision, Processor, ProductClass, Tiling};
use webmae::program::Device;
use webmae::tune::{Tuning, is_tunable, key};

#[test]
fn every_tiling_is_measured() {
    let options = GpuOptions { tier: Some(Processor::Device), ..Default::default() };
    let device = block_on(Device::new(&options)).expect("the tests need a graphics adapter");
    assert!(is_tunable(&device));
    let (before, target) = (device.allocated_bytes(), device.target());
    // A weight gradient of 512 rows is summed in two parts.
    let tuning = block_on(Tuning::measure_sizes(&device, |_| [8, 16, 512])).expect("rates");
    for (class, rates) in ProductClass::ALL.into_iter().zip(tuning.gflops) {
        let measured = class.operands == Precision::F32 || target.cooperative.f16.is_some();
        for (tiling, rate) in Tiling::ALL.into_iter().zip(rates) {
            // One that is offered and has no rate gave wrong products.
            let expected = measured && target.offers(tiling, class.operands);
            assert_eq!(rate.is_some(), expected, "{class:?} {tiling:?}");
            assert!(rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "{rate:?}");
        }
    }
    assert_eq!(device.allocated_bytes(), before, "nothing stays on the device");
    let chosen = tuning.products();
    device.set_products(chosen);
    assert_eq!(device.target().products, chosen);
}

#[test]
fn a_processor_has_nothing_to_tune() {
    let options = GpuOptions { tier: Some(Processor::Cpu), ..Default::default() };
    let device = block_on(Device::new(&options)).expect("the tests need a graphics adapter");
    assert!(!is_tunable(&device));
    assert!(key(&device).contains(&device.adapter().name));
}

/// What is left aside is not used, and choices made with it are not taken for such without.
#[test]
fn features_can_be_left_aside() {
    let open = |without_cooperative_matrices, without_subgroups| {
        let options = GpuOptions {
            tier: Some(Processor::Device),
            without_cooperative_matrices,
            without_subgroups,
            ..Default::default()
        };
        block_on(Device::new(&options)).expect("the tests need a graphics adapter")
    };
    let (all, without, neither) = (open(false, false), open(true, false), open(false, true));
    assert_eq!(all.target().cooperative, all.adapter().cooperative);
    assert_eq!(without.target().subgroups, all.target().subgroups);
    assert!(!neither.target().subgroups);
    for device in [without, neither] {
        assert!(!device.target().cooperative.any());
        assert_eq!(key(&device) == key(&all), !all.target().cooperative.any());
    }
}
