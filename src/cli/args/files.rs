//! Options of every command that reads folders of pictures: which of their files.

use crate::config::ModelConfig;
use crate::data::SourceOptions;

/// Which pictures of a folder.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct FilesArgs {
    /// Of class folders, use only those whose name starts so
    #[arg(long, value_name = "PREFIX")]
    pub class_prefix: Option<String>,
    /// Leave out what has such a name (*.gif, old), or such a path from the data folder on
    /// (cat/old, */draft/**); may be given again
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
}

impl FilesArgs {
    /// How pictures are read for `model`.
    pub(crate) fn source_options(&self, model: &ModelConfig) -> SourceOptions {
        SourceOptions::for_model(model, self.class_prefix.as_deref(), &self.exclude)
    }
}
