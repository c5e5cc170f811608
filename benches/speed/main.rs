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
use webmae::program::{DeviceOptions, Opened};
use webmae::tune::{Effort, Tuning, unknown};

fn all(criterion: &mut Criterion) {
    let Opened { device, why } = block_on(DeviceOptions::default().open()).expect("a device");
    println!("{}: {why}", device.summary());
    if let Some(gpu) = device.gpu().filter(|gpu| !gpu.adapter().is_software()) {
        gpu.on_products(|gpu, shapes, _| {
            let mut products = gpu.products();
            let unknown = unknown(shapes, &products);
            let effort = Effort::default();
            block_on(Tuning::measure(gpu, &unknown, effort, &mut async |_, _| ()))?
                .add_to(&mut products);
            gpu.set_products(products);
            Ok(())
        });
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
