//! A classifier on a MAE's encoder: pooling, each variant's own head or a linear probe, and what is trained.

use crate::config::{ModelConfig, Variant};
use crate::error::{Error, Result};
use crate::setting::Setting;

/// How tokens become one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "native", derive(clap::ValueEnum))]
pub enum Pool {
    /// The cls token after the final norm
    Cls,
    /// The mean of the patch tokens
    Mean,
}

impl Pool {
    /// The cls token where pre-training has one, else the mean.
    pub fn usual(model: &ModelConfig) -> Self {
        if model.cls_tokens() > 0 { Self::Cls } else { Self::Mean }
    }
}

/// What stands on the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The variant's own classifier. Paper: `head` on the cls token after `norm` (Hugging Face's ViT),
    /// or on the mean of the patch tokens after `fc_norm` instead (MAE's fine-tuning, timm's
    /// `global_pool="avg"`). Plain: `fc_norm` and `head` on the cls token or on the mean of all tokens,
    /// which have a cls token in front. vit-pytorch: `norm`, then `head` on the cls token, which only
    /// this pooling has, or on the mean of the patch tokens.
    Full,
    /// Linear probing: BatchNorm without affine, then `head`, on features as [`super::features`] has
    /// them.
    Probe,
    /// A linear probe of FAIR's `main_linprobe.py` with `global_pool`: the same on the mean of the patch tokens after
    /// `fc_norm`, which has the place of `norm`.
    FcNormProbe,
}

impl Head {
    /// Whether it is a linear probe.
    pub fn is_probe(self) -> bool {
        self != Self::Full
    }
}

/// What a file of weights says of a classifier's head.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HeadInfo {
    /// Pooling.
    pub pool: Pool,
    /// What stands on the encoder.
    pub head: Head,
    /// Names of the classes, in the order of the head's rows.
    pub class_names: Vec<String>,
}

/// Which part of a classifier is trained; its head always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trainable {
    /// Everything.
    All,
    /// The last blocks of the encoder and the norm behind them.
    Blocks(usize),
    /// The MLP half of the last block, and the norm behind it (paper, Figure 9: "0.5 blocks").
    Half,
    /// The head alone.
    None,
}

impl Trainable {
    /// Whether the encoder's parameter `name`, or the norm behind it, is trained, where there are
    /// `depth` blocks.
    pub(super) fn includes(self, name: &str, depth: usize) -> bool {
        let block = name.strip_prefix("blocks.").and_then(|rest| {
            let (number, part) = rest.split_once('.')?;
            Some((number.parse::<usize>().ok()?, part))
        });
        let is_last_norm = name.starts_with("norm.") || name.starts_with("fc_norm.");
        match (self, block) {
            (Self::All, _) => true,
            (Self::None, _) => false,
            (_, None) => is_last_norm,
            (Self::Blocks(count), Some((number, _))) => number + count >= depth,
            (Self::Half, Some((number, part))) => {
                number + 1 == depth && (part.starts_with("norm2.") || part.starts_with("mlp."))
            }
        }
    }
}

/// A classifier on a MAE's encoder.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClassifierConfig {
    /// The encoder; the decoder's fields are not used.
    pub model: ModelConfig,
    /// Pooling.
    pub pool: Pool,
    /// What stands on the encoder.
    pub head: Head,
    /// Number of classes.
    pub classes: usize,
    /// What is trained.
    pub trainable: Trainable,
    /// Whether positions are trained where everything is; the paper's fixed table stays otherwise.
    pub learned_positions: bool,
    /// Share of samples for which the last block's branches are dropped in training; it grows
    /// linearly from 0 at the first block. In [0, 1).
    pub drop_path: f32,
}

impl ClassifierConfig {
    /// Checks what the model does not check.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting, its value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let depth = self.model.encoder.depth;
        if self.classes < 2 {
            let problem = format!("{} classes; at least 2 can be told apart", self.classes);
            return Err(Error::config(Setting::Data, problem));
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            let problem = format!("must be in [0, 1), got {}", self.drop_path);
            return Err(Error::config(Setting::DropPath, problem));
        }
        if let Trainable::Blocks(count) = self.trainable
            && !(1..=depth).contains(&count)
        {
            let problem =
                format!("the encoder has {depth} blocks, got {count}; or half, all, none");
            return Err(Error::config(Setting::Trainable, problem));
        }
        if self.pool == Pool::Cls && self.cls_tokens() == 0 {
            return Err(no_cls_token());
        }
        if self.pool == Pool::Cls && self.head == Head::FcNormProbe {
            return Err(Error::config(Setting::Pool, "fc_norm is behind the mean; take the mean"));
        }
        Ok(())
    }

    /// Cls tokens in front of the patches: 0 or 1.
    pub fn cls_tokens(&self) -> usize {
        match (self.head, self.model.variant) {
            (Head::Probe | Head::FcNormProbe, variant) => usize::from(variant.cls_token()),
            (Head::Full, Variant::Paper | Variant::Plain) => 1,
            (Head::Full, Variant::VitPytorch) => usize::from(self.pool == Pool::Cls),
        }
    }

    /// Residual connections that drop-path may drop: two a block.
    pub fn connections(&self) -> usize {
        2 * self.model.encoder.depth
    }

    /// The share of samples that loses each residual branch, `connections` values.
    pub fn drop_rates(&self) -> Vec<f32> {
        let last = (self.model.encoder.depth.max(2) - 1) as f32;
        (0..self.connections()).map(|i| self.drop_path * (i / 2) as f32 / last).collect()
    }
}

/// The error of pooling what a model does not have.
pub(super) fn no_cls_token() -> Error {
    Error::config(Setting::Pool, "this model has no cls token; take the mean")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(trainable: Trainable, pool: Pool) -> ClassifierConfig {
        ClassifierConfig {
            model: ModelConfig::preset("tiny").unwrap(),
            pool,
            head: Head::Full,
            classes: 10,
            trainable,
            learned_positions: true,
            drop_path: 0.1,
        }
    }

    fn trained(trainable: Trainable) -> Vec<String> {
        let params = config(trainable, Pool::Mean).params();
        params.into_iter().filter(|p| p.trainable).map(|p| p.name).collect()
    }

    #[test]
    fn what_is_trained_follows_the_paper() {
        assert_eq!(trained(Trainable::None), ["head.weight", "head.bias"]);
        let half = trained(Trainable::Half);
        assert_eq!(half.len(), 2 + 4 + 2 + 2);
        assert!(half[..6].iter().all(|n| n.contains("5.norm2") || n.contains("5.mlp")), "{half:?}");
        let two = trained(Trainable::Blocks(2));
        assert!(two.iter().all(|n| !n.contains("blocks.3") && n != "pos_embed"));
        assert!(two.iter().any(|n| n == "blocks.4.norm1.weight"));
        assert_eq!(two.len(), 2 * 12 + 2 + 2);
        assert!(trained(Trainable::All).iter().any(|n| n == "pos_embed"));
    }

    #[test]
    fn drop_path_grows_with_depth() {
        let rates = config(Trainable::All, Pool::Mean).drop_rates();
        assert_eq!((rates.len(), rates[0], rates[1]), (12, 0.0, 0.0));
        assert!((rates[11] - 0.1).abs() < 1e-6 && (rates[2] - 0.02).abs() < 1e-6);
    }

    #[test]
    fn nonsense_is_refused() {
        let valid = config(Trainable::Blocks(6), Pool::Cls);
        valid.validate().unwrap();
        let refused = |change: fn(&mut ClassifierConfig)| {
            let mut changed = valid.clone();
            change(&mut changed);
            changed.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.trainable = Trainable::Blocks(7)).contains("has 6 blocks"));
        assert!(refused(|c| c.drop_path = 1.0).contains("drop_path"));
        assert!(refused(|c| c.classes = 1).contains("1 classes"));
        assert!(
            refused(|c| (c.model.variant, c.head) = (Variant::Plain, Head::Probe)).contains("cls")
        );
        assert!(refused(|c| c.head = Head::FcNormProbe).contains("take the mean"));
    }
}
