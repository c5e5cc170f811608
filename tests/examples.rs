//! The examples do what they say, on little.

use std::path::Path;

use webmae::{Length, ModelConfig, Recipe};

#[expect(dead_code, reason = "its `main` reads the command line")]
#[path = "../examples/pretrain.rs"]
mod pretrain;
#[expect(dead_code, reason = "its `main` reads the command line")]
#[path = "../examples/reconstruct.rs"]
mod reconstruct;

#[test]
fn pretrain_leaves_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut recipe = Recipe::pretrain(ModelConfig::preset("tiny").unwrap(), "synthetic");
    recipe.length = Length::Steps(2);
    recipe.batch_size = 4;
    recipe.data.held_out_images = 8;
    let outcome = pretrain::run(&recipe, &run).unwrap();
    assert_eq!((outcome.step, outcome.complete), (2, true));
    assert!(outcome.checkpoint.is_file() && run.join("loss.png").is_file());
}

#[test]
fn reconstruct_draws_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("seen.png");
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photos-96.safetensors");
    reconstruct::run(None, &weights, &out).unwrap();
    let drawn = image::open(out).unwrap();
    assert!(drawn.width() > 4 * 96 && drawn.height() > 96);
}
