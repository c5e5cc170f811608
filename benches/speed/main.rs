//! `cargo bench`: kernels, steps and the preparation of pictures, by Criterion. `cargo bench -- gemm`
//! runs what has that in its name. Rates in elements are FLOP of products and attention (`gemm`,
//! `attention`, `step`), values (`layer_norm`, `adamw`) or pixels (`data`).

mod data;
mod kernels;
mod program;
mod step;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use pollster::block_on;
use webmae::gpu::GpuOptions;
use webmae::program::Device;
use webmae::tune::{Tuning, is_tunable};

fn all(criterion: &mut Criterion) {
    let device = block_on(Device::new(&GpuOptions::default())).expect("a graphics adapter");
    println!("{} ({})", device.adapter().name, device.adapter().driver);
    if is_tunable(&device) {
        let tuning = block_on(Tuning::measure(&device)).expect("tiles");
        device.set_products(tuning.products());
    }
    kernels::products(criterion, &device);
    kernels::attention_passes(criterion, &device);
    kernels::layer_norm_passes(criterion, &device);
    kernels::adamw_update(criterion, &device);
    step::steps(criterion, &device);
    data::preparation(criterion);
}

criterion_group! {
    name = speed;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .without_plots();
    targets = all
}
criterion_main!(speed);
