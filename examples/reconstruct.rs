//! Hides three quarters of a picture, and draws what a trained model makes of the rest.
//!
//! ```sh
//! cargo run --release --example reconstruct             # the model that comes with webmae, on a drawn picture
//! cargo run --release --example reconstruct -- cat.jpg vit-mae-base/ cat.png
//! ```

use std::path::Path;

use webmae::data::Augment;
use webmae::data::decode::{DecodeOptions, decode_file};
use webmae::data::sources::synthetic::Synthetic;
use webmae::geometry::Geometry;
use webmae::model::params::mae_params;
use webmae::ops::optimizer::Scalars;
use webmae::report::grid::{RECONSTRUCTION_CAPTIONS, draw, reconstruction_row};
use webmae::report::masked_picture::MaskedPicture;
use webmae::report::views::View;
use webmae::weights::{FileKind, Overrides, open, stored_normalization};
use webmae::{
    DeviceOptions, ImageSource, MaskSource, Normalization, ParamStore, Reconstructor, block_on,
};

fn main() -> webmae::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let weights = args.get(2).map_or("models/photos-96.safetensors", String::as_str);
    let out = args.get(3).map_or("reconstruction.png", String::as_str);
    run(args.get(1).map(Path::new), Path::new(weights), Path::new(out))
}

/// Draws the `picture`, a file or else a drawn one, into the PNG file `out`, and prints how close the model and two
/// plain fillings came.
pub fn run(picture: Option<&Path>, weights: &Path, out: &Path) -> webmae::Result<()> {
    let opened = open(weights, &Overrides::default())?;
    opened.weights.kind.require(FileKind::Mae)?;
    let config = opened.config;
    let normalization =
        stored_normalization(&opened.metadata)?.unwrap_or_else(Normalization::imagenet);
    let picture = match picture {
        Some(file) => decode_file(file, &DecodeOptions::default())?,
        None => Synthetic::new(1, config.image_size, config.channels, 0)?.decode(0)?,
    };
    let image = normalization.still(&picture, &Augment::center(), config.image_size)?;

    let device = block_on(DeviceOptions::default().open())?.device;
    let store = ParamStore::holding(&device, mae_params(&config), &opened.weights.tensors)?;
    let mae = Reconstructor::new(&device, &config, 1, &store, MaskSource::Generated)?;
    let seed = Scalars::seeded(1);
    let seen = block_on(mae.run(&image, seed, &[0], &[]))?.remove(0);

    let Normalization { mean, std } = &normalization;
    let picture = MaskedPicture::new(Geometry::from(&config), &image, &seen.mask, mean, std)?;
    let shown = picture.reconstruction(View::honest(config.norm_pix_loss), &seen.predicted)?;
    println!(
        "loss {:.4}, {} of {} patches hidden",
        seen.loss,
        config.num_masked(),
        seen.mask.len()
    );
    // Two fillings that learned nothing tell what a figure is worth.
    let mean_color = picture.mean_color();
    let fillings = [
        ("model", &*shown),
        ("harmonic filling", picture.harmonic()),
        ("mean colour", &mean_color),
    ];
    for (name, filled) in fillings {
        if let Some(decibels) = picture.error(filled).psnr() {
            println!("{name}: {decibels:.2} dB on hidden pixels");
        }
    }
    draw(&RECONSTRUCTION_CAPTIONS, &[reconstruction_row(&picture, &[shown])?])?.write_png(out)
}
