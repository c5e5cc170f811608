//! `webmae knn`: how well features of unseen pictures find their class among labelled ones.

use serde_json::{Map, Value, json};

use crate::cli::args::encoder::{EncoderArgs, OpenEncoder};
use crate::cli::args::files::FilesArgs;
use crate::cli::counter::Counter;
use crate::cli::open::open_device;
use crate::cli::print::{note, notes};
use crate::data::{Augment, open_split};
use crate::error::{Error, Result};
use crate::program::{Device, DeviceOptions};
use crate::report::accuracy::Accuracy;
use crate::setting::Setting;
use crate::train::features::{Features, extract};
use crate::train::knn::{Vote, rank_classes};
use crate::train::labels::require_classes;

/// Options of `webmae knn`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each held-out picture gets the class that its nearest neighbours among the training pictures vote for,
by cosine similarity, closer ones counting more. Nothing is trained.

Examples:
  webmae knn --weights runs/cifar-tiny-1 --data CIFAR
  webmae knn --weights runs/photos-small-1 --data PHOTOS --class-prefix imagenette- -k 10")]
pub(crate) struct Args {
    /// Labelled pictures: class folders, or CIFAR-10 batches
    #[arg(long, value_name = "PATH")]
    data: String,
    /// Held-out pictures [default: a val or test folder beside the data, else a part of it]
    #[arg(long, value_name = "PATH")]
    held_out: Option<String>,
    #[command(flatten)]
    files: FilesArgs,
    /// Neighbours that vote
    #[arg(short = 'k', long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    neighbours: u32,
    /// How much closer neighbours count more: smaller is sharper
    #[arg(long, value_name = "T", default_value_t = 0.07)]
    temperature: f32,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    encoder: EncoderArgs,
}

/// What the neighbours found.
pub(crate) struct KnnAccuracy {
    classes: usize,
    train_images: usize,
    held_out_images: usize,
    /// Held-out pictures whose class got the most votes.
    pub top1: Accuracy,
    /// Share whose class is among the five with the most votes.
    top5: f64,
    /// Which weights and pooling were taken.
    taken: Map<String, Value>,
}

/// Prints top-1 and top-5 accuracy.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    let KnnAccuracy { classes, train_images, held_out_images, top1, top5, taken } =
        args.measure(|| open_device(options))?;
    if args.json {
        let mut result = json!({
            "neighbours": args.neighbours, "temperature": args.temperature, "classes": classes,
            "train_images": train_images, "held_out_images": held_out_images,
            "top1": top1.share, "top1_interval": top1.interval(), "top5": top5,
        });
        result.as_object_mut().expect("is one").extend(taken);
        say!("{result}");
    } else {
        say!("{train_images} training and {held_out_images} held-out pictures, {classes} classes");
        say!("top-1 {top1}, top-5 {:.2} % ({} neighbours)", 100.0 * top5, args.neighbours);
    }
    Ok(())
}

impl Args {
    /// Checks what needs no data.
    ///
    /// # Errors
    /// Names the option that cannot be used.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let problem = format!("must be above 0, got {}", self.temperature);
            return Err(Error::argument("--temperature", problem));
        }
        Ok(())
    }

    /// Classifies the held-out pictures on the device that `device` opens once the weights are read.
    ///
    /// # Errors
    /// Names the file or option that cannot be used.
    pub(crate) fn measure(&self, device: impl FnOnce() -> Result<Device>) -> Result<KnnAccuracy> {
        self.validate()?;
        let opened = self.encoder.open(device, self.json)?;
        let source_options = opened.source_options(&self.files);
        let split = open_split(&self.data, self.held_out.as_deref(), &source_options)?;
        require_classes(split.train.as_ref(), Setting::Data)?;
        let classes = split.train.class_names().len();
        notes(self.json, &split.notes());
        let (known, labels) = labelled(&opened, &split.train, "training pictures", self.json)?;
        let (queries, truth) = labelled(&opened, &split.held_out, "held-out pictures", self.json)?;
        let vote = Vote { neighbours: self.neighbours as usize, temperature: self.temperature };
        let ranked = rank_classes(&known, &labels, classes, &queries, vote);
        let within = |n: usize| {
            let hits = ranked
                .iter()
                .zip(&truth)
                .filter(|(ranked, label)| ranked.iter().take(n).any(|class| class == *label));
            hits.count() as f64 / truth.len() as f64
        };
        let (train_images, held_out_images) = (labels.len(), truth.len());
        let top1 = Accuracy { share: within(1), pictures: held_out_images };
        let (top5, taken) = (within(5), opened.taken.clone());
        Ok(KnnAccuracy { classes, train_images, held_out_images, top1, top5, taken })
    }
}

/// Features of the pictures that have a class, and their classes.
fn labelled(
    opened: &OpenEncoder,
    source: &std::sync::Arc<dyn crate::data::ImageSource>,
    what: &'static str,
    quiet: bool,
) -> Result<(Features, Vec<usize>)> {
    let counter = Counter::new(source.len(), what);
    let progress = &mut |done| {
        if !quiet {
            counter.show(done);
        }
    };
    let (encoder, batch_size) = (opened.encoder(), opened.batch_size);
    let all = extract(encoder, opened.pool, source, batch_size, &Augment::center(), progress)?;
    counter.finish();
    for skipped in &all.skipped {
        note(quiet, || format!("skipped {}: {}", skipped.name, skipped.problem));
    }
    let mut kept = Features { dim: all.dim, ..Features::default() };
    let (mut labels, mut without) = (Vec::new(), Vec::new());
    for (row, &index) in all.rows().zip(&all.indices) {
        if let Some(label) = source.label(index) {
            kept.values.extend_from_slice(row);
            kept.indices.push(index);
            labels.push(label);
        } else {
            without.push(index);
        }
    }
    if let Some(&first) = without.first() {
        note(quiet, || {
            format!(
                "{} of the {what}, for example {}, have none of the classes and are left out",
                without.len(),
                source.name(first)
            )
        });
    }
    if labels.is_empty() {
        let problem = format!("none of the {what} has one of the classes: {}", source.describe());
        return Err(Error::config(Setting::Data, problem));
    }
    Ok((kept, labels))
}
