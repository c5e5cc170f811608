//! The plain variant at its author's reference size, freshly initialised, on Gaussian images: the
//! loss lies in PyTorch's distribution.

mod common;
#[expect(dead_code, reason = "its `main` reads the command line")]
#[path = "../examples/plain_mae.rs"]
mod plain_mae;

use common::device;

/// Mean and standard deviation of PyTorch's loss over five seeds (tests/fixtures/golden/README.md).
const PYTORCH: (f64, f64) = (1.827, 0.036);

#[test]
fn an_untrained_plain_model_has_the_loss_that_pytorch_prints() {
    let loss = |seed| f64::from(plain_mae::loss(device(), seed).unwrap());
    let losses: Vec<f64> = (0..5).map(loss).collect();
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
