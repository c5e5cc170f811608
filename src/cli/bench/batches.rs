//! `webmae bench --data`: how fast batches are prepared.

use serde_json::{Value, json};

use super::args::Args;
use super::loader::{LoaderSpeed, loader_speed, stage_times};
use crate::cli::print::print_json;
use crate::data::{SourceOptions, open};
use crate::error::Result;

/// Images per batch unless `--batch-size` says otherwise.
const BATCH: usize = 64;

/// Measures with one worker and with one per core, and prints.
pub(crate) fn run(args: &Args, data: &str) -> Result<()> {
    // ViT-B is what 224 × 224 pictures are for.
    let (size, channels) = args.model.picture("vit-b")?;
    let options = SourceOptions { channels, image_size: size, ..SourceOptions::default() };
    let source = open(data, &options)?;
    let batch = args.batch_size.map_or(BATCH, |n| n as usize);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !args.json {
        say!("{}", source.describe());
        say!("{} × {} images, random crops and flips, batches of {batch}\n", size[0], size[1]);
    }
    let mut results: Vec<Value> = Vec::new();
    let workers = if cores > 1 { vec![1, cores] } else { vec![1] };
    for workers in workers {
        let speed = loader_speed(&source, size, batch, workers, args.repeats())?;
        if args.json {
            results.push(to_json(&speed));
        } else {
            print(&speed);
        }
    }
    let stages = args.profile.is_some().then(|| stage_times(source.as_ref(), size)).transpose()?;
    if args.json {
        let output = json!({
            "webmae": env!("CARGO_PKG_VERSION"),
            "data": source.describe(),
            "image_size": size,
            "batch_size": batch,
            "results": results,
            "stages": stages,
        });
        return print_json(&output);
    }
    if let Some(times) = stages {
        say!("\nmilliseconds per image on one core, of {} images:", times.images);
        say!("  read and decode     {:>8.3}", times.decode_ms);
        say!("  crop, resize, flip  {:>8.3}", times.augment_ms);
        say!("  normalise           {:>8.3}", times.normalise_ms);
    }
    Ok(())
}

fn print(speed: &LoaderSpeed) {
    let LoaderSpeed { workers, images_per_second, unreadable } = speed;
    let (median, spread) = (images_per_second.median(), images_per_second.spread());
    let name = format!("{workers} worker{}", if *workers == 1 { "" } else { "s" });
    let skipped = match unreadable {
        0 => String::new(),
        count => format!("  ({count} unreadable files skipped)"),
    };
    let per_worker = median / *workers as f64;
    say!("{name:<12}{median:>10.1} ± {spread:.1} images/s, {per_worker:.1} per worker{skipped}");
}

fn to_json(speed: &LoaderSpeed) -> Value {
    json!({
        "workers": speed.workers,
        "images_per_second": speed.images_per_second.median(),
        "spread": speed.images_per_second.spread(),
        "samples": speed.images_per_second.values(),
        "unreadable": speed.unreadable,
    })
}
