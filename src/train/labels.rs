//! Which pictures can be learned from and measured on with labels, and what is decided about the others.

use std::sync::Arc;

use crate::data::sources::split::Subset;
use crate::data::{ImageSource, Split};
use crate::error::{Error, Result};
use crate::setting::Setting;

/// A split all of whose pictures have a class.
pub struct Labelled {
    /// Training and held-out pictures.
    pub split: Split,
    /// What was decided, in whole sentences.
    pub notes: Vec<String>,
}

/// Checks that the training pictures have classes, at least two, and leaves out held-out pictures whose
/// class is not among them. `setting` is where the data was named.
///
/// # Errors
/// [`Error::Config`] if training pictures have no classes, or no held-out picture has one of theirs.
pub fn labelled(mut split: Split, setting: Setting) -> Result<Labelled> {
    let classes = split.train.class_names().len();
    let train = split.train.as_ref();
    if classes < 2 {
        let problem = format!(
            "{} has {classes} classes; give a folder for each class, or CIFAR-10 batches",
            train.describe()
        );
        return Err(Error::config(setting, problem));
    }
    if let Some(index) = (0..train.len()).find(|&index| train.label(index).is_none()) {
        let problem = format!("{} has no class", train.name(index));
        return Err(Error::config(setting, problem));
    }
    let mut notes = Vec::new();
    let held_out = &split.held_out;
    let (known, unknown): (Vec<u32>, Vec<u32>) =
        (0..held_out.len() as u32).partition(|&index| held_out.label(index as usize).is_some());
    if let Some(&first) = unknown.first() {
        let example = held_out.name(first as usize);
        if known.is_empty() {
            let problem = format!(
                "no held-out picture has a class of the training pictures, for example {example}; \
                 both need class folders of the same names"
            );
            return Err(Error::config(Setting::HeldOut, problem));
        }
        notes.push(format!(
            "{} held-out pictures, for example {example}, are of no class of the training pictures \
             and are left out.",
            unknown.len()
        ));
        split.held_out = Arc::new(Subset::new(Arc::clone(held_out), known)?);
    }
    let missing = classes_without_pictures(split.held_out.as_ref(), classes);
    if !missing.is_empty() {
        let names: Vec<&str> =
            missing.iter().take(5).map(|&c| split.train.class_names()[c].as_str()).collect();
        let more = if missing.len() > 5 { ", …" } else { "" };
        notes.push(format!(
            "{} of {classes} classes have no held-out pictures and are not measured: {}{more}.",
            missing.len(),
            names.join(", ")
        ));
    }
    Ok(Labelled { split, notes })
}

fn classes_without_pictures(source: &dyn ImageSource, classes: usize) -> Vec<usize> {
    let mut seen = vec![false; classes];
    for index in 0..source.len() {
        if let Some(label) = source.label(index) {
            seen[label] = true;
        }
    }
    (0..classes).filter(|&class| !seen[class]).collect()
}
