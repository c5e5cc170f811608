//! `webmae embed`: features of pictures as a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::args::encoder::EncoderArgs;
use crate::cli::args::files::FilesArgs;
use crate::cli::counter::Counter;
use crate::cli::open::open_device;
use crate::cli::output::check_file;
use crate::cli::print::notes;
use crate::data::{Augment, ImageSource, open};
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::files::safetensors::{self, FloatType};
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::tensor::{HostTensor, TensorMap};
use crate::train::features::{Features, extract};

/// Options of `webmae embed`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is masked and nothing is random: the same picture always has the same feature. Pictures are
cropped in the centre to the model's size.

  .npy          the features [pictures, width] as float32, and beside it a .csv with each row's file
                and class
  .safetensors  the tensor `features`, and in the header the entries `names` and `classes` (JSON lists)

Examples:
  webmae embed --weights runs/photos-small-1 --data PHOTOS --out photos.npy
  webmae embed --weights vit-mae-base/ --data PHOTOS --pool mean --out photos.safetensors")]
pub(crate) struct Args {
    /// Pictures: a folder (flat, or of class folders), CIFAR-10 batches, or one picture
    #[arg(long, value_name = "PATH")]
    data: String,
    #[command(flatten)]
    files: FilesArgs,
    /// File to write: .npy or .safetensors
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    encoder: EncoderArgs,
}

/// Writes the features.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let ending = args.out.extension().and_then(|ending| ending.to_str());
    let write = match ending {
        Some("npy") => write_npy,
        Some("safetensors") => write_safetensors,
        _ => {
            let problem = format!("{} must end in .npy or .safetensors", args.out.display());
            return Err(Error::config(Setting::Out, problem));
        }
    };
    check_file(&args.out)?;
    let opened = args.encoder.open(|| open_device(options), false)?;
    let source = open(&args.data, &opened.source_options(&args.files))?;
    say!("{}", source.describe());
    notes(false, source.notes());
    let counter = Counter::new(source.len(), "pictures");
    let (encoder, batch_size) = (opened.encoder(), opened.batch_size);
    let features =
        extract(encoder, opened.pool, &source, batch_size, &Augment::center(), &mut |done| {
            counter.show(done);
        })?;
    counter.finish();
    for skipped in &features.skipped {
        say!("skipped {}: {}", skipped.name, skipped.problem);
    }
    write(args, &features, source.as_ref())?;
    say!("{} features of {} values: {}", features.indices.len(), features.dim, args.out.display());
    Ok(())
}

fn class_of(source: &dyn ImageSource, index: usize) -> Option<&str> {
    source.label(index).map(|label| source.class_names()[label].as_str())
}

fn write_npy(args: &Args, features: &Features, source: &dyn ImageSource) -> Result<()> {
    use npyz::WriterBuilder;

    let shape = [features.indices.len() as u64, features.dim as u64];
    atomic_write(&args.out, |file| {
        let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
        let mut writer = options.writer(file).begin_nd()?;
        writer.extend(features.values.iter().copied())?;
        writer.finish()
    })?;
    let table = args.out.with_extension("csv");
    atomic_write(&table, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(["row", "file", "class"])?;
        for (row, &index) in features.indices.iter().enumerate() {
            let class = class_of(source, index).unwrap_or_default();
            writer.write_record([&row.to_string(), &source.name(index), class])?;
        }
        writer.flush()
    })?;
    say!("rows: {}", table.display());
    Ok(())
}

fn write_safetensors(args: &Args, features: &Features, source: &dyn ImageSource) -> Result<()> {
    let shape = [features.indices.len(), features.dim];
    let tensor = HostTensor::new(shape, features.values.clone());
    let tensors = TensorMap::from([("features".to_owned(), tensor)]);
    let names: Vec<String> = features.indices.iter().map(|&index| source.name(index)).collect();
    let classes: Vec<Option<&str>> =
        features.indices.iter().map(|&index| class_of(source, index)).collect();
    let metadata = BTreeMap::from([
        ("names".to_owned(), serde_json::json!(names).to_string()),
        ("classes".to_owned(), serde_json::json!(classes).to_string()),
    ]);
    safetensors::write(&args.out, &tensors, &metadata, FloatType::F32)
}
