//! Options that drop values in training.

use crate::config::ModelConfig;
use crate::train::recipe::overrule;

/// Dropout of the variants that have it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Regularisation")]
pub(crate) struct DropoutArgs {
    /// Share of values that are dropped in each block of the encoder, in [0, 1); for the variants plain and
    /// vit-pytorch [default: 0; in fine-tuning what pre-training had]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    dropout: Option<f64>,
    /// The same behind the position embedding. It acts in training with labels only: vit-pytorch's masked autoencoder
    /// goes past it
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    emb_dropout: Option<f64>,
}

impl DropoutArgs {
    /// Changes `model` as they say.
    pub(crate) fn apply(&self, model: &mut ModelConfig) {
        overrule(&mut model.dropout, self.dropout);
        overrule(&mut model.emb_dropout, self.emb_dropout);
    }
}
