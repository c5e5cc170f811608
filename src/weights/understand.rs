//! What a file of weights is, from its header alone: the same for files read as a whole and tensor by tensor.

use super::checkpoint::{CheckpointHead, PARAM};
use super::header::{Metadata, identify, possible, stored_normalization};
use super::infer::Overrides;
use super::names::{Format, Mapping, Missing, map_names, parameters};
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::Result;
use crate::files::listing::Listing;
use crate::tensor::by_name;

/// A file's model and where its tensors belong.
#[derive(Debug)]
pub(super) struct Understood {
    pub format: Format,
    pub config: ModelConfig,
    /// Mean and standard deviation of the pixels, if the file names them.
    pub normalization: Option<Normalization>,
    /// Steps done, if it is a checkpoint of a training run.
    pub step: Option<u64>,
    /// What the names of its parameters begin with.
    pub prefix: &'static str,
    /// By names without the prefix.
    pub mapping: Mapping,
}

/// Understands a file by its tensors and its text entries. `hugging_face` gives the configuration beside it, if there
/// is one. Every size is compared with the tensors here, before any memory is taken for it.
///
/// # Errors
/// [`Error::BadWeights`](crate::Error::BadWeights) when it is of an unknown code base, or its tensors do not make the
/// model; [`Error::Config`](crate::Error::Config) when its sizes do not fit together.
pub(super) fn understand(
    listing: Listing,
    metadata: &Metadata,
    hugging_face: impl FnOnce() -> Result<Option<ModelConfig>>,
    overrides: &Overrides,
) -> Result<Understood> {
    let checkpoint = CheckpointHead::read(metadata)?;
    // A checkpoint's moments are not wanted.
    let prefix = if checkpoint.is_some() { PARAM } else { "" };
    let listing: Listing = by_name(
        listing
            .into_iter()
            .filter_map(|(name, listed)| Some((name.strip_prefix(prefix)?.to_owned(), listed))),
    );
    let step = checkpoint.as_ref().map(|checkpoint| checkpoint.step);
    let (format, config, normalization) = match checkpoint {
        Some(head) => (Format::Webmae, possible(head.model)?, Some(head.normalization)),
        None => {
            let shapes = by_name(listing.iter().map(|(name, l)| (name.clone(), l.shape.clone())));
            let (format, config) = identify(&shapes, metadata, hugging_face, overrides)?;
            (format, config, stored_normalization(metadata)?)
        }
    };
    if let Some(normalization) = &normalization {
        normalization.validate(config.channels)?;
    }
    let (shapes, others) = parameters(format, &listing)?;
    let mut mapping = map_names(format, &config, &shapes, Missing::Refused)?;
    mapping.ignored.extend(others);
    Ok(Understood { format, config, normalization, step, prefix, mapping })
}
