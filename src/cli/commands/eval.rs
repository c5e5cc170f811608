//! `webmae eval`: how good a classifier is on labelled pictures.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::cli::args::classifier::{ClassifierArgs, OpenClassifier};
use crate::cli::counter::Counter;
use crate::cli::print::note;
use crate::data::sources::split::{Subset, open_held_out, with_classes};
use crate::data::{ImageSource, SourceOptions};
use crate::error::{Error, Result};
use crate::program::DeviceOptions;
use crate::setting::Setting;
use crate::train::evaluate::{Evaluation, LabelledData};

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
    /// Of class folders, use only those whose name starts so
    #[arg(long, value_name = "PREFIX")]
    class_prefix: Option<String>,
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
    let opened = args.classifier.open(options, usize::MAX, args.json)?;
    let source_options = SourceOptions::for_model(&opened.config, args.class_prefix.as_deref());
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
    for skipped in &result.skipped {
        note(args.json, || format!("skipped {}: {}", skipped.name, skipped.problem));
    }
    print(args, &class_names, &result);
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
        let problem = format!(
            "{} has no classes; give a folder for each class, or CIFAR-10 batches",
            source.describe()
        );
        return Err(Error::config(Setting::Data, problem));
    }
    let Some(names) = &opened.class_names else {
        if found.len() != classes {
            let problem = format!(
                "the head has {classes} classes without names, the data has {}; they must be the same \
                 in number and order",
                found.len()
            );
            return Err(Error::config(Setting::Data, problem));
        }
        note(quiet, || {
            "the weights do not name their classes: they are taken in the data's order".into()
        });
        return Ok((source, found));
    };
    let source = with_classes(names, source);
    let known = |index: &u32| source.label(*index as usize).is_some();
    let (kept, left): (Vec<u32>, Vec<u32>) = (0..source.len() as u32).partition(known);
    if kept.is_empty() {
        let problem = format!(
            "no class of the data ({}, …) is one of the classifier's ({}, …)",
            found[0], names[0]
        );
        return Err(Error::config(Setting::Data, problem));
    }
    if left.is_empty() {
        return Ok((source, names.clone()));
    }
    note(quiet, || {
        let example = source.name(left[0] as usize);
        format!(
            "{} pictures, for example {example}, are of no class of the classifier and are left out",
            left.len()
        )
    });
    Ok((Arc::new(Subset::new(source, kept)?), names.clone()))
}

fn print(args: &Args, class_names: &[String], result: &Evaluation) {
    let Evaluation { loss, top1, top5, confusion, .. } = result;
    let per_class = confusion.per_class();
    if args.json {
        let classes: serde_json::Map<_, _> = class_names
            .iter()
            .zip(&per_class)
            .map(|(name, share)| (name.clone(), json!(share)))
            .collect();
        say!("{}", json!({ "loss": loss, "top1": top1, "top5": top5, "classes": classes }));
        return;
    }
    say!("top-1 {:.2} %, top-5 {:.2} %, loss {loss:.4}", 100.0 * top1, 100.0 * top5);
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
