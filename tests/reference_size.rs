//! The plain variant at its author's reference size, freshly initialised, on Gaussian images: the
//! loss lies in PyTorch's distribution.

mod common;

use common::device;
use pollster::block_on;
use webmae::ModelConfig;
use webmae::kernels::Precision;
use webmae::model::init::init_params;
use webmae::model::objective::MaskSource;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::Scalars;
use webmae::philox::Rng;
use webmae::train::step::{BatchData, EvalStep};

/// Mean and standard deviation of PyTorch's loss over five seeds (tests/fixtures/golden/README.md).
const PYTORCH: (f64, f64) = (1.827, 0.036);

#[test]
fn an_untrained_plain_model_has_the_loss_that_pytorch_prints() {
    let model = ModelConfig::preset("plain").unwrap();
    let device = device();
    let layout = ParamLayout::new(mae_params(&model), device.max_binding());
    let store = ParamStore::new(device, layout, false).unwrap();
    let batch = 8;
    let masks = MaskSource::Generated;
    let step = EvalStep::new(device, &model, masks, batch, &store, Precision::F32).unwrap();
    let sample_ids: Vec<u32> = (0..batch as u32).collect();
    let mut losses = Vec::new();
    for seed in 0..5 {
        let params = init_params(store.layout().specs(), model.grid(), seed);
        store.load(Role::Value, &params).unwrap();
        let mut rng = Rng::new(seed, [9, 9, 9]);
        let images: Vec<f32> = (0..batch * model.image_len()).map(|_| rng.normal()).collect();
        let scalars = Scalars { seed: [seed as u32, 0], ..Default::default() };
        let data = BatchData { images: &images, sample_ids: &sample_ids, ..Default::default() };
        losses.push(f64::from(block_on(step.run(scalars, data)).unwrap()));
    }
    let (mean, deviation) = PYTORCH;
    println!("losses {losses:.5?}");
    // Four deviations for one loss, three standard errors of a difference of two means of five.
    for loss in &losses {
        assert!((loss - mean).abs() < 4.0 * deviation, "{losses:?}");
    }
    let average = losses.iter().sum::<f64>() / losses.len() as f64;
    let allowed = 3.0 * deviation * (2.0_f64 / 5.0).sqrt();
    assert!((average - mean).abs() < allowed, "average {average} of {losses:?}");
}
