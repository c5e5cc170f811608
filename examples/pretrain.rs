//! Pre-trains a tiny masked autoencoder, and says how the loss falls.
//!
//! ```sh
//! cargo run --release --example pretrain                          # on drawn pictures, 2200 steps
//! cargo run --release --example pretrain -- PHOTOS runs/mine 500  # a folder of pictures, the run's, steps
//! ```

use std::path::Path;
use std::sync::atomic::AtomicBool;

use webmae::{
    DeviceOptions, Event, Length, ModelConfig, Outcome, Recipe, Start, TensorMap, block_on, train,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let data = args.get(1).map_or("synthetic", String::as_str);
    let folder = args.get(2).map_or("runs/example", String::as_str);
    let mut recipe = Recipe::pretrain(ModelConfig::preset("tiny")?, data);
    if let Some(steps) = args.get(3) {
        recipe.set_length(Length::Steps(steps.parse()?));
    }
    let outcome = run(&recipe, Path::new(folder))?;
    println!("held-out loss {:.4}", outcome.held_out_loss);
    println!("webmae reconstruct --weights {folder} IMAGE shows what it has learned");
    Ok(())
}

/// Trains as `recipe` says, and leaves curves, pictures and checkpoints in `folder`.
pub fn run(recipe: &Recipe, folder: &Path) -> webmae::Result<Outcome> {
    let opened = block_on(DeviceOptions::default().open())?;
    println!("{}: {}", opened.device.summary(), opened.why);

    let start = Start::New(folder.to_owned(), TensorMap::new());
    // Another thread could set this, and the run would end with a checkpoint.
    let stop = AtomicBool::new(false);
    train(&opened.device, recipe, start, &stop, &mut |event| match event {
        Event::Step(step) if step.step % 20 == 0 => {
            println!("step {:4} of {}: loss {:.4}", step.step, step.total_steps, step.loss);
        }
        Event::HeldOut { step, loss, .. } => println!("step {step:4}: held-out loss {loss:.4}"),
        _ => {}
    })
}
