//! The parameter table: which tensors a masked autoencoder has, their shapes, how they begin and
//! which slab they live in. Names are those of `facebookresearch/mae` (= timm) for every variant;
//! [`crate::weights`] translates other code bases' names to them.

use super::classifier::{ClassifierConfig, Pool};
use crate::config::{ModelConfig, StackConfig, Variant};

/// How a parameter begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Uniform in ±√(6 / (fan_in + fan_out)) (`xavier_uniform_`, FAIR's choice for linear maps).
    XavierUniform {
        /// Inputs of the map.
        fan_in: usize,
        /// Outputs of the map.
        fan_out: usize,
    },
    /// Uniform in ±1/√fan_in (PyTorch's default for `nn.Linear`, weight and bias).
    KaimingUniform {
        /// Inputs of the map.
        fan_in: usize,
    },
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// The fixed 2-D sin-cos table of the grid, with a zero row first for the cls token.
    SinCos,
}

/// One parameter of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Name in the FAIR/timm convention, e.g. `decoder_blocks.1.mlp.fc1.weight`.
    pub name: String,
    /// Shape as in the PyTorch state dict (linear weights are `[out, in]`).
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
    /// Whether it is trained; the sin-cos tables are not.
    pub trainable: bool,
    /// Slab that holds it: 0 the embedding, `1 + i` encoder block `i` (the final norm goes with
    /// the last), then the decoder likewise. Layer-wise learning rates follow this number.
    pub group: usize,
}

impl ParamSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether weight decay applies: tensors of more than one dimension, as FAIR's
    /// `add_weight_decay` has it, so cls and mask tokens (`[1, 1, D]`) are decayed.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// Every parameter of the masked autoencoder, encoder first, in the order of the forward pass.
///
/// Shapes: `patch_embed.proj.weight` is `[D, C, p, q]` in the paper variant and `[D, p·q·C]`
/// (row, column, channel) in the others; position tables are `[1, L + 1, D]`, where row 0 of the
/// encoder's belongs to the cls token (unused without one). The decoder's table starts with a row
/// for the cls token in the paper variant, and ends with an unused row in the others.
pub fn mae_params(config: &ModelConfig) -> Vec<ParamSpec> {
    let mut table = Table { variant: config.variant, params: Vec::new(), group: 0 };
    let (encoder, decoder) = (&config.encoder, &config.decoder);
    table.embedding(config, config.variant.learned_positions());
    table.encoder_blocks(encoder);
    if config.variant.final_norms() {
        table.norm("norm", encoder.dim);
    }
    table.group += 1;
    table.decoder_embedding(config);
    for i in 0..decoder.depth {
        table.group += 1;
        table.block(&format!("decoder_blocks.{i}"), decoder);
    }
    if config.variant.final_norms() {
        table.norm("decoder_norm", decoder.dim);
    }
    table.linear("decoder_pred", decoder.dim, config.patch_dim(), true);
    table.params
}

/// Every parameter of a classifier, in the order of the forward pass: the encoder as in
/// [`mae_params`], then `norm` (cls pooling) or `fc_norm` (mean pooling), then `head`.
pub fn classifier_params(config: &ClassifierConfig) -> Vec<ParamSpec> {
    let model = &config.model;
    let mut table = Table { variant: model.variant, params: Vec::new(), group: 0 };
    table.embedding(model, config.learned_positions);
    table.encoder_blocks(&model.encoder);
    table.group += 1;
    let norm = match config.pool {
        Pool::Cls => "norm",
        Pool::Mean => "fc_norm",
    };
    table.norm(norm, model.encoder.dim);
    table.linear("head", model.encoder.dim, config.classes, true);
    table.params
}

/// The parameters of what a file holds, `has` telling which: a whole autoencoder, or an encoder alone,
/// whose `fc_norm` (of a classifier that pools) is kept, but not its head.
pub fn encoder_or_mae_params(config: &ModelConfig, has: impl Fn(&str) -> bool) -> Vec<ParamSpec> {
    let pooled = ClassifierConfig {
        model: config.clone(),
        pool: Pool::Mean,
        classes: 1,
        learned_positions: false,
    };
    let fc_norm = classifier_params(&pooled).into_iter().filter(|p| p.name.starts_with("fc_norm."));
    let mut specs = mae_params(config);
    specs.extend(fc_norm);
    specs.retain(|spec| has(&spec.name));
    specs
}

struct Table {
    variant: Variant,
    params: Vec<ParamSpec>,
    group: usize,
}

impl Table {
    fn push(&mut self, name: impl Into<String>, shape: Vec<usize>, init: Init) {
        let trainable = init != Init::SinCos;
        self.params.push(ParamSpec {
            name: name.into(),
            shape,
            init,
            trainable,
            group: self.group,
        });
    }

    fn linear(&mut self, name: &str, fan_in: usize, fan_out: usize, bias: bool) {
        let (weight, bias_init) = match self.variant {
            Variant::Paper => (Init::XavierUniform { fan_in, fan_out }, Init::Zeros),
            _ => (Init::KaimingUniform { fan_in }, Init::KaimingUniform { fan_in }),
        };
        self.push(format!("{name}.weight"), vec![fan_out, fan_in], weight);
        if bias {
            self.push(format!("{name}.bias"), vec![fan_out], bias_init);
        }
    }

    fn norm(&mut self, name: &str, dim: usize) {
        self.push(format!("{name}.weight"), vec![dim], Init::Ones);
        self.push(format!("{name}.bias"), vec![dim], Init::Zeros);
    }

    fn embedding(&mut self, config: &ModelConfig, learned_positions: bool) {
        let (dim, patch_dim) = (config.encoder.dim, config.patch_dim());
        if self.variant.patch_norms() {
            self.norm("patch_embed.norm_pre", patch_dim);
        }
        self.linear("patch_embed.proj", patch_dim, dim, true);
        if self.variant == Variant::Paper {
            let [p, q] = config.patch_size;
            let weight = self.params.iter_mut().rev().find(|p| p.name.ends_with("proj.weight"));
            weight.expect("just pushed").shape = vec![dim, config.channels, p, q];
        }
        if self.variant.patch_norms() {
            self.norm("patch_embed.norm_post", dim);
        }
        if self.variant.cls_token() {
            self.push("cls_token", vec![1, 1, dim], Init::Normal(0.02));
        }
        self.positions("pos_embed", config.position_rows(), dim, learned_positions);
        if config.encoder_mask_tokens {
            self.push("encoder_mask_token", vec![1, 1, dim], Init::Normal(0.02));
        }
    }

    fn decoder_embedding(&mut self, config: &ModelConfig) {
        let (dim, decoder_dim) = (config.encoder.dim, config.decoder.dim);
        if dim != decoder_dim || !self.variant.skips_identities() {
            self.linear("decoder_embed", dim, decoder_dim, true);
        }
        if !config.encoder_mask_tokens {
            let (shape, init) = match self.variant {
                Variant::Paper => (vec![1, 1, decoder_dim], Init::Normal(0.02)),
                _ => (vec![decoder_dim], Init::Normal(1.0)),
            };
            self.push("mask_token", shape, init);
        }
        let learned = self.variant.learned_positions();
        self.positions("decoder_pos_embed", config.position_rows(), decoder_dim, learned);
    }

    fn positions(&mut self, name: &str, rows: usize, dim: usize, learned: bool) {
        let init = if learned { Init::Normal(1.0) } else { Init::SinCos };
        self.push(name, vec![1, rows, dim], init);
    }

    fn encoder_blocks(&mut self, stack: &StackConfig) {
        for i in 0..stack.depth {
            self.group += 1;
            self.block(&format!("blocks.{i}"), stack);
        }
    }

    fn block(&mut self, name: &str, stack: &StackConfig) {
        let inner = stack.inner_dim();
        self.norm(&format!("{name}.norm1"), stack.dim);
        let qkv_bias = self.variant.qkv_bias();
        self.linear(&format!("{name}.attn.qkv"), stack.dim, 3 * inner, qkv_bias);
        let identity = stack.heads == 1 && stack.dim_head == stack.dim;
        if !(identity && self.variant.skips_identities()) {
            self.linear(&format!("{name}.attn.proj"), inner, stack.dim, true);
        }
        self.norm(&format!("{name}.norm2"), stack.dim);
        self.linear(&format!("{name}.mlp.fc1"), stack.dim, stack.mlp_dim, true);
        self.linear(&format!("{name}.mlp.fc2"), stack.mlp_dim, stack.dim, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vit_b_has_the_published_number_of_parameters() {
        let params = mae_params(&ModelConfig::preset("vit-b").unwrap());
        let count = |trainable| -> usize {
            params.iter().filter(|p| p.trainable == trainable).map(ParamSpec::len).sum()
        };
        // Hugging Face's ViTMAEForPreTraining at the same sizes: 111,655,680 trainable
        // parameters and two fixed tables of 197 rows.
        assert_eq!(count(true), 111_655_680);
        assert_eq!(count(false), 197 * (768 + 512));
    }
}
