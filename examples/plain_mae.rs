//! The plain masked autoencoder as its author shows it: fresh parameters, eight pictures of noise, one number.
//!
//! ```sh
//! cargo run --release --example plain_mae        # Masked Autoencoders MSE Loss: 1.8…
//! cargo run --release --example plain_mae -- 3   # with another seed
//! ```

use webmae::model::init::init_params;
use webmae::model::params::mae_params;
use webmae::ops::optimizer::Scalars;
use webmae::philox::Rng;
use webmae::train::step::{BatchData, EvalStep};
use webmae::{
    Device, DeviceOptions, MaskSource, ModelConfig, ParamStore, Precision, StackConfig, block_on,
};

/// Pictures at a time.
const BATCH: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(0), |seed| seed.parse())?;
    let device = block_on(DeviceOptions::default().open())?.device;
    println!("Masked Autoencoders MSE Loss: {}", loss(&device, seed)?);
    Ok(())
}

/// The mean squared error on hidden patches, everything random drawn from `seed`.
pub fn loss(device: &Device, seed: u64) -> webmae::Result<f32> {
    let config = ModelConfig {
        image_size: [256, 256],
        patch_size: [32, 32],
        encoder: StackConfig { dim: 1024, depth: 6, heads: 8, dim_head: 64, mlp_dim: 2048 },
        decoder: StackConfig { dim: 512, depth: 6, heads: 8, dim_head: 64, mlp_dim: 2048 },
        mask_ratio: 0.75,
        ..ModelConfig::preset("plain")?
    };
    let specs = mae_params(&config);
    let params = init_params(&specs, config.grid(), seed);
    let store = ParamStore::holding(device, specs, &params)?;
    let step =
        EvalStep::new(device, &config, MaskSource::Generated, BATCH, &store, Precision::F32)?;

    let mut rng = Rng::new(seed, [9, 9, 9]);
    let images: Vec<f32> = (0..BATCH * config.image_len()).map(|_| rng.normal()).collect();
    let sample_ids: Vec<u32> = (0..BATCH as u32).collect();
    let batch = BatchData { images: &images, sample_ids: &sample_ids, ..BatchData::default() };
    block_on(step.run(Scalars::seeded(seed), batch))
}
