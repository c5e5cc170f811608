//! Options that drop values in training.

use crate::config::ModelConfig;
use crate::error::Result;
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
    ///
    /// # Errors
    /// [`crate::Error::Config`] names the option, its value and what would be accepted.
    pub(crate) fn apply(&self, model: &mut ModelConfig) -> Result<()> {
        overrule(&mut model.dropout, self.dropout);
        overrule(&mut model.emb_dropout, self.emb_dropout);
        model.validate()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::wording::message;
    use crate::config::Variant;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        dropout: DropoutArgs,
    }

    fn applied(args: &str, variant: Variant) -> Result<ModelConfig> {
        let args = std::iter::once("webmae").chain(args.split_whitespace());
        let mut model = ModelConfig { variant, ..ModelConfig::preset("tiny").unwrap() };
        let wrapper = Wrapper::try_parse_from(args).expect("known options");
        wrapper.dropout.apply(&mut model).map(|()| model)
    }

    #[test]
    fn rates_are_the_models() {
        for variant in [Variant::Plain, Variant::VitPytorch] {
            let model = applied("--dropout 0.1 --emb-dropout 0.2", variant).unwrap();
            assert_eq!((model.dropout, model.emb_dropout), (0.1, 0.2));
        }
        let model = applied("--dropout 0", Variant::Paper).unwrap();
        assert_eq!((model.dropout, model.emb_dropout), (0.0, 0.0));
    }

    #[test]
    fn refusals_name_the_option_and_the_mend() {
        for option in ["--dropout", "--emb-dropout"] {
            for wrong in ["-0.1", "1", "1.5", "nan", "inf"] {
                let error = applied(&format!("{option} {wrong}"), Variant::Plain).unwrap_err();
                let said = message(&error);
                assert!(said.starts_with(&format!("{option}: must be in [0, 1), got ")), "{said}");
            }
            let said = message(&applied(&format!("{option} 0.1"), Variant::Paper).unwrap_err());
            assert!(said.ends_with(&format!("try no {option}, or --variant plain")), "{said}");
        }
    }
}
