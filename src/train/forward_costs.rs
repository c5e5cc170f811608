//! What the forward pass of one picture costs, encoder and decoder apart.

use serde::Serialize;

use crate::config::ModelConfig;
use crate::error::Result;
use crate::kernels::Processor;
use crate::model::drops::Drops;
use crate::model::mae::{encode, encode_all};
use crate::model::objective::{MaskSource, Purpose, masked_objective};
use crate::model::params::mae_params;
use crate::model::store::ParamLayout;
use crate::program::{Plan, Recorder, Tensor};

/// FLOPs of matrix products and attention for one picture, forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ForwardCosts {
    /// The encoder on what it sees in pre-training.
    pub encoder: StackCosts,
    /// The decoder, its projections included.
    pub decoder: StackCosts,
    /// The encoder on every token, as when features are taken, or with mask tokens in it (paper, Table 1c).
    pub encoder_on_all: StackCosts,
}

/// FLOPs of a part, and the tokens in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StackCosts {
    /// FLOPs.
    pub flops: u64,
    /// Tokens.
    pub tokens: usize,
}

impl StackCosts {
    /// FLOPs of one token.
    pub fn per_token(&self) -> u64 {
        self.flops / self.tokens as u64
    }
}

impl ForwardCosts {
    /// Records the parts of `config`'s forward pass.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an invalid model.
    pub fn new(config: &ModelConfig) -> Result<Self> {
        config.validate()?;
        let whole = flops(config, |rec| {
            masked_objective(rec, config, 1, MaskSource::Given, Purpose::Evaluation);
        })?;
        let encoder = flops(config, |rec| {
            let images = images(rec, config);
            let noise = rec.external("noise", [1, config.num_patches()]);
            encode(rec, config, images, noise, Drops::default());
        })?;
        let on_all = flops(config, |rec| {
            let images = images(rec, config);
            encode_all(rec, config, images, config.cls_tokens(), Drops::default());
        })?;
        let all_tokens = config.cls_tokens() + config.num_patches();
        Ok(Self {
            encoder: StackCosts { flops: encoder, tokens: config.encoder_tokens() },
            decoder: StackCosts { flops: whole - encoder, tokens: config.decoder_tokens() },
            encoder_on_all: StackCosts { flops: on_all, tokens: all_tokens },
        })
    }

    /// The forward pass.
    pub fn total(&self) -> u64 {
        self.encoder.flops + self.decoder.flops
    }

    /// How many times the forward pass would cost with mask tokens in the encoder.
    pub fn saving(&self) -> f64 {
        (self.encoder_on_all.flops + self.decoder.flops) as f64 / self.total() as f64
    }
}

fn images(rec: &mut Recorder, config: &ModelConfig) -> Tensor {
    let [h, w] = config.image_size;
    rec.external("images", [1, config.channels, h, w])
}

/// FLOPs of what `record` records with the parameters of `config`.
fn flops(config: &ModelConfig, record: impl FnOnce(&mut Recorder)) -> Result<u64> {
    let mut rec = Recorder::new(Processor::Gpu, false);
    ParamLayout::new(mae_params(config), u64::MAX).declare(&mut rec, false);
    record(&mut rec);
    Ok(Plan::new(&rec, u64::MAX)?.flops)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// He et al. 2021, section 4.1: ViT-L's decoder "has <10% computation per token vs. the encoder", and without
    /// mask tokens in the encoder, training takes "3.3×" fewer FLOPs (Table 1c).
    #[test]
    fn vit_l_has_the_papers_proportions() {
        let costs = ForwardCosts::new(&ModelConfig::preset("vit-l").unwrap()).unwrap();
        assert_eq!([costs.encoder.tokens, costs.decoder.tokens], [50, 197]);
        assert_eq!(costs.encoder_on_all.tokens, 197);
        let share = costs.decoder.per_token() as f64 / costs.encoder.per_token() as f64;
        assert!((0.05..0.1).contains(&share), "{share}");
        assert!((3.2..3.35).contains(&costs.saving()), "{}", costs.saving());
    }

    #[test]
    fn mask_tokens_in_the_encoder_cost_what_is_said() {
        let config = ModelConfig::preset("tiny").unwrap();
        let costs = ForwardCosts::new(&config).unwrap();
        let with = ModelConfig { encoder_mask_tokens: true, ..config };
        let with = ForwardCosts::new(&with).unwrap();
        let ratio = with.total() as f64 / costs.total() as f64;
        // Hidden patches are not embedded there.
        assert!((ratio / costs.saving() - 1.0).abs() < 0.01, "{ratio}, {}", costs.saving());
        assert_eq!(with.encoder.tokens, with.encoder_on_all.tokens);
    }
}
