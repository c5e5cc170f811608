//! Measuring which tiles suit a device.

use pollster::block_on;
use webmae::gpu::{Gpu, GpuOptions, Tier};
use webmae::tune::{Tuning, is_tunable, key};

#[test]
fn every_blocking_is_measured() {
    let options = GpuOptions { tier: Some(Tier::Gpu), ..Default::default() };
    let gpu = block_on(Gpu::new(&options)).expect("the tests need a graphics adapter");
    assert!(is_tunable(&gpu));
    let before = gpu.allocated_bytes();
    // A weight gradient of 512 rows is summed in two parts.
    let tuning = block_on(Tuning::measure_sizes(&gpu, |_| [8, 16, 512])).expect("rates");
    for rate in tuning.gflops.as_flattened() {
        assert!(rate.is_finite() && *rate > 0.0, "{:?}", tuning.gflops);
    }
    assert_eq!(gpu.allocated_bytes(), before, "nothing stays on the device");
    let chosen = tuning.products();
    gpu.set_products(chosen);
    assert_eq!(gpu.target().products, chosen);
}

#[test]
fn a_processor_has_nothing_to_tune() {
    let options = GpuOptions { tier: Some(Tier::Cpu), ..Default::default() };
    let gpu = block_on(Gpu::new(&options)).expect("the tests need a graphics adapter");
    assert!(!is_tunable(&gpu));
    assert!(key(&gpu).contains(&gpu.adapter().name));
}
