//! A safetensors file read tensor by tensor, so that large weights are never in memory as a whole.

use super::finite::require_finite;
use super::header::Metadata;
use super::hf_config::HfConfig;
use super::infer::Overrides;
use super::names::{FileKind, Format, Mapping};
use super::understand::{Understood, understand};
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::files::safetensors::{Entry, Header};

/// What a file's header tells, and which of its tensors are wanted.
#[derive(Debug)]
pub struct Stream {
    /// Whose names the file has; this crate's own for a checkpoint.
    pub format: Format,
    /// The model.
    pub config: ModelConfig,
    /// Mean and standard deviation of its pixels, if the file names them.
    pub normalization: Option<Normalization>,
    /// The file's text entries.
    pub metadata: Metadata,
    /// Steps done, if it is a checkpoint of a training run.
    pub step: Option<u64>,
    /// Internal tensors and where they come from.
    pub mapping: Mapping,
    /// Tensors to read, in the order of their bytes.
    pub wanted: Vec<Wanted>,
}

/// A tensor to read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it is in the file.
    pub entry: Entry,
    /// Name of the internal tensor that it belongs to.
    pub internal: String,
    /// Place of its first value there.
    pub first: usize,
}

impl Wanted {
    /// The tensor's `bytes` as f32.
    ///
    /// # Errors
    /// [`Error::BadWeights`] for another number of bytes, and for values that are not finite.
    pub fn values(&self, bytes: &[u8]) -> Result<Vec<f32>> {
        let values = self.entry.values(bytes)?;
        require_finite(&self.entry.name, &values)?;
        Ok(values)
    }
}

impl Stream {
    /// Understands the beginning of a file of `file_bytes` bytes, which must hold its whole header. Of a checkpoint
    /// with moving averages of the weights it takes those. `hf_config` is the text of Hugging Face's `config.json` beside it.
    ///
    /// # Errors
    /// [`Error::BadWeights`] when it is no whole safetensors file, of an unknown code base, or its
    /// tensors do not make the model; [`Error::Config`] when its sizes do not fit together.
    pub fn open(
        beginning: &[u8],
        file_bytes: u64,
        hf_config: Option<&str>,
        overrides: &Overrides,
    ) -> Result<Self> {
        let header = Header::read(beginning, file_bytes)?;
        let beside =
            || hf_config.map(HfConfig::parse).transpose()?.map(|c| c.to_model()).transpose();
        let Understood { format, config, normalization, step, set, mapping } =
            understand(header.listing(), &header.metadata, beside, overrides, None)?;
        let destinations = mapping.destinations();
        let wanted = header.entries.iter().filter_map(|entry| {
            let &(internal, first) = destinations.get(set.name(&entry.name)?)?;
            Some(Wanted { entry: entry.clone(), internal: internal.to_owned(), first })
        });
        let wanted = wanted.collect();
        Ok(Self { format, config, normalization, metadata: header.metadata, step, mapping, wanted })
    }

    /// Which parts of a model the file holds.
    pub fn kind(&self) -> FileKind {
        self.mapping.kind
    }

    /// The pixel statistics to use: the file's own, else ImageNet's.
    ///
    /// # Errors
    /// [`Error::Argument`] if the file names none and its images are not RGB.
    pub fn normalization_or_imagenet(&self) -> Result<Normalization> {
        match &self.normalization {
            Some(normalization) => Ok(normalization.clone()),
            None if self.config.channels == 3 => Ok(Normalization::imagenet()),
            None => {
                let problem = format!(
                    "the weights name no mean and deviation for their {} channels",
                    self.config.channels
                );
                Err(Error::argument("normalization", problem))
            }
        }
    }
}
