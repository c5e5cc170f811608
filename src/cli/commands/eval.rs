//! `webmae eval`: how good a classifier is on labelled pictures.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::cli::args::classifier::{ClassifierArgs, OpenClassifier};
use crate::cli::args::files::FilesArgs;
use crate::cli::counter::Counter;
use crate::cli::output::check_folder;
use crate::cli::print::{note, notes};
use crate::data::ImageSource;
use crate::data::sources::split::{Subset, open_held_out, with_classes};
use crate::error::{Error, Result};
use crate::model::output::meaningless;
use crate::program::DeviceOptions;
use crate::remedy::Remedy;
use crate::setting::Setting;
use crate::train::evaluate::{Evaluation, LabelledData};
use crate::train::labels::{by_class, require_classes};

/// Options of `webmae eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Classes are matched by name where the weights know their names, else by their order.

Examples:
  webmae eval --weights runs/CIFAR-finetune-1 --data CIFAR
  webmae eval --weights runs/PHOTOS-linprobe-1 --data PHOTOS/val --out results/")]
pub(crate) struct Args {
    /// Labelled pictures: class folders, or CIFAR-10 batches; of a data set with a held-out part, that part
    #[arg(long, value_name = "PATH")]
    data: String,
    #[command(flatten)]
    files: FilesArgs,
    /// Folder for confusion.png, confusion.csv and classes.csv
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

/// Prints accuracies and writes the confusion matrix.
pub(crate) fn run(args: &Args, options: &DeviceOptions) -> Result<()> {
    args.out.as_deref().map_or(Ok(()), check_folder)?;
    let opened = args.classifier.open(options, usize::MAX, args.json)?;
    let source_options = args.files.source_options(&opened.config);
    let (source, how) = open_held_out(&args.data, &source_options)?;
    note(args.json, || format!("{} ({how})", source.describe()));
    let (source, class_names) = matched(&opened, source, args.json)?;
    let counter = Counter::new(source.len(), "pictures");
    let data = LabelledData::Pictures {
        source,
        normalization: opened.normalization.clone(),
        image_size: opened.config.image_size,
    };
    let progress = &mut |done| {
        if !args.json {
            counter.show(done);
        }
    };
    let result = data.evaluate(&opened.predictor, &class_names, progress)?;
    counter.finish();
    if result.meaningless > 0 {
        let found = format!("those of {} pictures of {}", result.meaningless, data.len());
        return Err(meaningless("logits", &found).in_file(&opened.file));
    }
    for skipped in &result.skipped {
        note(args.json, || format!("skipped {}: {}", skipped.name, skipped.problem));
    }
    print(args, &opened.taken, &class_names, &result);
    match &args.out {
        Some(folder) => write(folder, &class_names, &result, args.json),
        None => Ok(()),
    }
}

/// The pictures whose class the classifier knows, their labels being its own; and its classes' names.
fn matched(
    opened: &OpenClassifier,
    source: Arc<dyn ImageSource>,
    quiet: bool,
) -> Result<(Arc<dyn ImageSource>, Vec<String>)> {
    let classes = opened.predictor.classes();
    let found = source.class_names().to_vec();
    if found.is_empty() {
        require_classes(source.as_ref(), Setting::Data)?;
    }
    let (source, names) = match &opened.class_names {
        Some(names) => (with_classes(names, source), names.clone()),
        None if found.len() == classes => {
            note(quiet, || {
                "the weights do not name their classes: they are taken in the data's order".into()
            });
            (source, found.clone())
        }
        None => {
            let problem = format!(
                "the head has {classes} classes without names, the data has {}; they must be the same \
                 in number and order",
                found.len()
            );
            return Err(Error::config(Setting::Data, problem));
        }
    };
    let (kept, left) = by_class(source.as_ref());
    if kept.is_empty() {
        let problem = format!(
            "no class of the data ({}, …) is one of the classifier's ({}, …){}",
            found[0],
            names[0],
            source.remarks()
        );
        let below = source.tree_below().map(|folder| Remedy::set(Setting::Data, folder.display()));
        let remedies = below.into_iter().collect();
        return Err(Error::Config { setting: Setting::Data, problem, remedies });
    }
    notes(quiet, source.notes());
    if left.is_empty() {
        return Ok((source, names));
    }
    note(quiet, || {
        let example = source.name(left[0] as usize);
        format!(
            "{} pictures, for example {example}, are of no class of the classifier and are left out",
            left.len()
        )
    });
    Ok((Arc::new(Subset::new(source, kept)?), names))
}

fn print(args: &Args, taken: &Map<String, Value>, class_names: &[String], result: &Evaluation) {
    let Evaluation { loss, top1, top5, confusion, .. } = result;
    let per_class = confusion.per_class();
    if args.json {
        let classes: Map<_, _> = class_names
            .iter()
            .zip(&per_class)
            .map(|(name, share)| (name.clone(), json!(share)))
            .collect();
        let mut said = json!({
            "loss": loss, "top1": top1.share, "top1_interval": top1.interval(), "top5": top5, "classes": classes,
        });
        said.as_object_mut().expect("is one").extend(taken.clone());
        say!("{said}");
        return;
    }
    say!("top-1 {top1}, top-5 {:.2} %, loss {loss:.4}", 100.0 * top5);
    for (name, share) in class_names.iter().zip(&per_class) {
        match share {
            Some(share) => say!("  {:5.1} %  {name}", 100.0 * share),
            None => say!("      –    {name} (no pictures)"),
        }
    }
}

fn write(
    folder: &std::path::Path,
    class_names: &[String],
    result: &Evaluation,
    quiet: bool,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let confusion = &result.confusion;
    confusion.picture()?.write_png(folder.join("confusion.png"))?;
    confusion.write_csv(folder.join("confusion.csv"))?;
    crate::files::atomic_write(folder.join("classes.csv"), |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(["class", "pictures", "accuracy"])?;
        for (class, (name, share)) in class_names.iter().zip(confusion.per_class()).enumerate() {
            let pictures: u64 = (0..class_names.len()).map(|p| confusion.count(class, p)).sum();
            let share = share.map_or(String::new(), |share| share.to_string());
            writer.write_record([name, &pictures.to_string(), &share])?;
        }
        writer.flush()
    })?;
    note(quiet, || format!("confusion matrix: {}", folder.join("confusion.png").display()));
    Ok(())
}
