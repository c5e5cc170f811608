//! A run's pictures: opened, measured, prepared in batches.

use std::sync::Arc;

use super::recipe::{NormalizationChoice, Recipe};
use crate::data::{
    Cursor, ImageSource, Loader, LoaderOptions, Normalization, SourceOptions, Split, open_split,
};
use crate::error::Result;

/// Pictures over which mean and standard deviation are measured, at most.
const MEASURED_PICTURES: usize = 2000;

/// Opens training and held-out pictures.
pub fn open_data(recipe: &Recipe) -> Result<Split> {
    let options = SourceOptions {
        channels: recipe.model.channels,
        apply_exif: recipe.data.apply_exif,
        class_prefix: recipe.data.class_prefix.clone(),
        image_size: recipe.model.image_size,
        synthetic_len: recipe.data.synthetic_len,
        seed: recipe.seed,
        ..Default::default()
    };
    open_split(&recipe.data.data, recipe.data.held_out.as_deref(), &options)
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

/// A loader of training batches that begins at `cursor`.
pub fn open_loader(
    recipe: &Recipe,
    split: &Split,
    normalization: &Normalization,
    cursor: Cursor,
) -> Result<Loader> {
    let options = LoaderOptions {
        augment: recipe.data.augment,
        strict: recipe.data.strict,
        threads: recipe.data.threads,
        ..LoaderOptions::train(recipe.batch_size, recipe.model.image_size, recipe.seed)
    };
    Loader::new(Arc::clone(&split.train), normalization.clone(), options, cursor)
}
