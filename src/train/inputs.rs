//! A run's pictures: opened, measured, prepared in batches.

use std::path::Path;
use std::sync::Arc;

use super::labels::{Labelled, labelled};
use super::recipe::{Classify, NormalizationChoice, Recipe};
use crate::config::PatchTarget;
use crate::data::sources::split::Subset;
use crate::data::targets::tokens::TokenFile;
use crate::data::{
    Cursor, ImageSource, Loader, LoaderOptions, Normalization, SourceOptions, Split, fixed_indices,
    open_split,
};
use crate::error::{Error, Result};
use crate::setting::Setting;

/// Pictures over which mean and standard deviation are measured, at most.
const MEASURED_PICTURES: usize = 2000;

/// Opens training and held-out pictures, with their tokens if the recipe names a file of them.
pub fn open_data(recipe: &Recipe) -> Result<Split> {
    let options = SourceOptions {
        apply_exif: recipe.data.apply_exif,
        synthetic_len: recipe.data.synthetic_len,
        seed: recipe.seed,
        ..SourceOptions::for_model(
            &recipe.model,
            recipe.data.class_prefix.as_deref(),
            &recipe.data.exclude,
        )
    };
    let mut split = open_split(&recipe.data.data, recipe.data.held_out.as_deref(), &options)?;
    if let (Some(file), PatchTarget::Tokens { vocabulary }) =
        (&recipe.data.tokens, recipe.model.target)
    {
        let path = Path::new(file);
        let file = TokenFile::open(path, recipe.model.num_patches(), vocabulary)?;
        let file = Arc::new(file);
        split.train = file.attach(split.train)?;
        split.held_out = file.attach(split.held_out)?;
    }
    Ok(split)
}

/// Opens the labelled pictures of a run with labels; says what was decided about some.
///
/// # Errors
/// [`Error::Config`] if there are no labels, or other classes than the recipe's.
pub fn open_labelled(recipe: &Recipe, classify: &Classify) -> Result<Labelled> {
    let labelled = labelled(open_data(recipe)?, Setting::Data)?;
    let found = labelled.split.train.class_names();
    if found != classify.class_names {
        let problem = format!(
            "{} has other classes than this run: {} of {} are the same; take the data that it began \
             with",
            labelled.split.train.describe(),
            found.iter().filter(|name| classify.class_names.contains(name)).count(),
            classify.class_names.len()
        );
        return Err(Error::config(Setting::Data, problem));
    }
    Ok(labelled)
}

/// The pixel statistics that the recipe asks for.
pub fn normalization(recipe: &Recipe, source: &dyn ImageSource) -> Result<Normalization> {
    let normalization = match &recipe.data.normalization {
        NormalizationChoice::Imagenet => Normalization::imagenet(),
        NormalizationChoice::Measured => {
            Normalization::measure(source, MEASURED_PICTURES, recipe.seed)?
        }
        NormalizationChoice::Given(given) => given.clone(),
    };
    normalization.validate(recipe.model.channels)?;
    Ok(normalization)
}

/// The held-out pictures that a run with labels is measured on.
pub fn measured_pictures(recipe: &Recipe, split: &Split) -> Result<Arc<dyn ImageSource>> {
    let source = &split.held_out;
    let chosen = fixed_indices(source.len(), recipe.data.held_out_images, recipe.seed);
    Ok(Arc::new(Subset::new(Arc::clone(source), chosen)?))
}

/// A loader of training batches that begins at `cursor`.
pub fn open_loader(
    recipe: &Recipe,
    split: &Split,
    normalization: &Normalization,
    cursor: Cursor,
) -> Result<Loader> {
    let options = loader_options(recipe);
    Loader::new(Arc::clone(&split.train), normalization.clone(), options, cursor)
}

/// How training batches are made.
pub fn loader_options(recipe: &Recipe) -> LoaderOptions {
    LoaderOptions {
        augment: recipe.data.augment,
        labels: recipe.label_options(),
        strict: recipe.data.strict,
        threads: recipe.data.threads,
        ..LoaderOptions::train(recipe.batch_size, recipe.model.image_size, recipe.seed)
    }
}
