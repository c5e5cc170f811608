//! `webmae predict`: what a classifier says about pictures.

use std::path::PathBuf;

use pollster::block_on;
use serde_json::json;

use crate::cli::args::classifier::{ClassifierArgs, OpenClassifier};
use crate::cli::print::notes;
use crate::data::{Augment, SourceOptions, open};
use crate::error::Result;
use crate::model::output::require_meaningful;
use crate::model::predict::{ranked, softmax};
use crate::program::DeviceOptions;

/// Options of `webmae predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  webmae predict --weights runs/CIFAR-finetune-1 cat.png dog.jpg
  webmae predict --weights runs/PHOTOS-linprobe-1 --top 1 --json photo.jpg")]
pub(crate) struct Args {
    /// Pictures
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Classes to name, the most probable first
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Print one JSON object a picture instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

/// Prints the most probable classes of each picture.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let opened = args.classifier.open(options, args.images.len(), args.json)?;
    let batch = opened.predictor.batch();
    for images in args.images.chunks(batch) {
        let mut pixels = Vec::new();
        for image in images {
            pixels.extend(load(&opened, &image.to_string_lossy(), args.json)?);
        }
        let logits = block_on(opened.predictor.run(&pixels))?;
        require_meaningful("logits", &logits).map_err(|e| e.in_file(&opened.file))?;
        for (image, logits) in images.iter().zip(logits.chunks_exact(opened.predictor.classes())) {
            print(args, &opened, &image.display().to_string(), logits);
        }
    }
    Ok(())
}

fn load(opened: &OpenClassifier, image: &str, quiet: bool) -> Result<Vec<f32>> {
    let source = open(image, &SourceOptions::for_model(&opened.config, None, &[]))?;
    notes(quiet, source.notes());
    let picture = source.decode(0)?;
    opened.normalization.still(&picture, &Augment::center(), opened.config.image_size)
}

fn print(args: &Args, opened: &OpenClassifier, image: &str, logits: &[f32]) {
    let probabilities = softmax(logits);
    let top = ranked(logits).into_iter().take(args.top as usize);
    let found: Vec<(String, f32)> =
        top.map(|class| (opened.class_name(class), probabilities[class])).collect();
    if args.json {
        let classes: Vec<_> =
            found.iter().map(|(class, p)| json!({ "class": class, "probability": p })).collect();
        let mut said = json!({ "image": image, "classes": classes });
        said.as_object_mut().expect("is one").extend(opened.taken.clone());
        say!("{said}");
        return;
    }
    say!("{image}");
    for (class, probability) in found {
        say!("  {:5.1} %  {class}", 100.0 * probability);
    }
}
