//! What a file of weights is, from its header alone: the same for files read as a whole and tensor by tensor.

use super::checkpoint::CheckpointHead;
use super::header::{Metadata, identify, possible, stored_normalization};
use super::infer::Overrides;
use super::names::{Format, Mapping, Missing, map_names, parameters};
use super::set::Set;
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
    /// Which of its tensors are the model's.
    pub set: Set,
    /// By their names in the set.
    pub mapping: Mapping,
}

/// Understands a file by its tensors and its text entries. `hugging_face` gives the configuration beside it, if there
/// is one; `key` chooses one of several sets of weights. Every size is compared with the tensors here, before any memory is taken for it.
///
/// # Errors
/// [`Error::BadWeights`](crate::Error::BadWeights) when it is of an unknown code base, or its tensors do not make the
/// model; [`Error::Config`](crate::Error::Config) when its sizes do not fit together.
pub(super) fn understand(
    listing: Listing,
    metadata: &Metadata,
    hugging_face: impl FnOnce() -> Result<Option<ModelConfig>>,
    overrides: &Overrides,
    key: Option<&str>,
) -> Result<Understood> {
    let checkpoint = CheckpointHead::read(metadata)?;
    let mut set = Set::choose(&listing, checkpoint.is_some(), key)?;
    let own = |(name, listed): (String, _)| Some((set.name(&name)?.to_owned(), listed));
    let listing: Listing = by_name(listing.into_iter().filter_map(own));
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
    mapping.ignored.append(&mut set.outside);
    Ok(Understood { format, config, normalization, step, set, mapping })
}
