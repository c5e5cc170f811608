//! Which pictures can be learned from and measured on with labels, and what is decided about the others.

use std::sync::Arc;

use crate::data::sources::split::Subset;
use crate::data::{ImageSource, Split};
use crate::error::{Error, Result};
use crate::remedy::Remedy;
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
    require_classes(split.train.as_ref(), setting)?;
    let classes = split.train.class_names().len();
    let mut notes = split.notes();
    let (known, unknown) = by_class(split.train.as_ref());
    if let Some(&first) = unknown.first() {
        notes.push(format!(
            "{} training pictures, for example {}, lie in no class folder and are left out.",
            unknown.len(),
            split.train.name(first as usize)
        ));
        split.train = Arc::new(Subset::new(split.train, known)?);
    }
    let held_out = &split.held_out;
    let (known, unknown) = by_class(held_out.as_ref());
    if let Some(&first) = unknown.first() {
        let example = held_out.name(first as usize);
        if known.is_empty() {
            let problem = format!(
                "no held-out picture has a class of the training pictures, for example {example}; \
                 both need class folders of the same names{}",
                held_out.remarks()
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

/// Checks that pictures have classes, at least two. `setting` is where the data was named.
///
/// # Errors
/// [`Error::Config`] says what there is instead, and where class folders may be.
pub fn require_classes(source: &dyn ImageSource, setting: Setting) -> Result<()> {
    let classes = source.class_names().len();
    if classes > 1 {
        return Ok(());
    }
    let problem = format!(
        "{} has {classes} classes; give class folders (a folder for each class), or CIFAR-10 batches{}",
        source.describe(),
        source.remarks()
    );
    let below = source.tree_below().map(|folder| Remedy::set(setting, folder.display()));
    Err(Error::Config { setting, problem, remedies: below.into_iter().collect() })
}

/// The pictures with a class, and those without.
pub fn by_class(source: &dyn ImageSource) -> (Vec<u32>, Vec<u32>) {
    (0..source.len() as u32).partition(|&index| source.label(index as usize).is_some())
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
