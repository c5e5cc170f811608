//! The parameter table: which tensors a masked autoencoder has, their shapes, how they begin and
//! which slab they live in. Names are those of `facebookresearch/mae` (= timm) for every variant;
//! [`crate::weights`] translates other code bases' names to them.

use super::classifier::{ClassifierConfig, Head, Pool};
use crate::config::{ModelConfig, PatchTarget, StackConfig, Variant};

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
    /// The 2-D sin-cos table of the grid; rows without a patch are zero.
    SinCos {
        /// Rows before the grid's.
        lead: usize,
    },
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
    /// Whether it is trained; the sin-cos tables and running statistics are not.
    pub trainable: bool,
    /// Whether weight decay applies. In pre-training: to tensors of more than one dimension, as timm's
    /// `add_weight_decay` has it, so that cls and mask tokens (`[1, 1, D]`) are decayed; in a
    /// classifier positions and cls token are not (`util/lr_decay.py` of facebookresearch/mae).
    pub decayed: bool,
    /// Slab that holds it: 0 the embedding, `1 + i` encoder block `i` (the final norm goes with
    /// the last), then the decoder likewise. Layer-wise learning rates follow this number.
    pub group: usize,
}

impl ParamSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is the matrix of a linear map, which products read in f16 in mixed precision.
    pub fn is_matrix(&self) -> bool {
        self.shape.len() > 1 && self.name.ends_with(".weight")
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    table.embedding(config, config.cls_tokens() > 0, config.learned_positions());
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
    table.linear("decoder_pred", decoder.dim, config.pred_dim(), true);
    table.target(config);
    table.params
}

/// Whether the parameter belongs to the decoder or its targets: an encoder does without it.
pub fn is_decoder(name: &str) -> bool {
    name.starts_with("decoder") || name.starts_with("target.") || name == "mask_token"
}

impl ClassifierConfig {
    /// The parameter table: only what is trained is marked so.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut params = classifier_params(self);
        for param in &mut params {
            let is_head = param.name.starts_with("head.");
            let depth = self.model.encoder.depth;
            param.trainable &= is_head || self.trainable.includes(&param.name, depth);
        }
        params
    }
}

/// Every parameter of a classifier, in the order of the forward pass: the encoder as in
/// [`mae_params`], then the norms that [`Head`] describes, then `head`.
fn classifier_params(config: &ClassifierConfig) -> Vec<ParamSpec> {
    let model = &config.model;
    let dim = model.encoder.dim;
    let mut table = Table { variant: model.variant, params: Vec::new(), group: 0 };
    table.embedding(model, config.cls_tokens() > 0, config.learned_positions);
    // Nothing is hidden from a classifier.
    table.params.retain(|param| param.name != "encoder_mask_token");
    for param in &mut table.params {
        param.decayed &= !["cls_token", "pos_embed"].contains(&param.name.as_str());
    }
    table.encoder_blocks(&model.encoder);
    table.group += 1;
    let pools_before_norm = match (config.head, model.variant) {
        (Head::FcNormProbe, _) | (Head::Full, Variant::Plain) => true,
        (Head::Full, Variant::Paper) => config.pool == Pool::Mean,
        (Head::Probe, _) | (Head::Full, Variant::VitPytorch) => false,
    };
    if pools_before_norm {
        table.norm("fc_norm", dim);
    } else if model.variant.final_norms() {
        table.norm("norm", dim);
    }
    if config.head.is_probe() {
        table.push("head_norm.running_mean", vec![dim], Init::Zeros);
        table.push("head_norm.running_var", vec![dim], Init::Ones);
        table.params.iter_mut().rev().take(2).for_each(|statistic| statistic.trainable = false);
    }
    // Nearly nothing in fine-tuning, as in facebookresearch/mae: the encoder's first gradients are small.
    let deviation = if config.head.is_probe() { 0.01 } else { 2e-5 };
    table.push("head.weight", vec![config.classes, dim], Init::Normal(deviation));
    table.push("head.bias", vec![config.classes], Init::Zeros);
    table.params
}

/// The parameters of what a file holds, `has` telling which: a whole autoencoder, or an encoder alone,
/// whose `fc_norm` (of a classifier that pools) is kept, but not its head.
pub fn encoder_or_mae_params(config: &ModelConfig, has: impl Fn(&str) -> bool) -> Vec<ParamSpec> {
    let mut table = Table { variant: config.variant, params: mae_params(config), group: 0 };
    table.norm("fc_norm", config.encoder.dim);
    table.params.retain(|spec| has(&spec.name));
    table.params
}

struct Table {
    variant: Variant,
    params: Vec<ParamSpec>,
    group: usize,
}

impl Table {
    fn push(&mut self, name: impl Into<String>, shape: Vec<usize>, init: Init) {
        self.params.push(ParamSpec {
            name: name.into(),
            decayed: shape.len() > 1,
            shape,
            init,
            trainable: true,
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

    fn embedding(&mut self, config: &ModelConfig, cls_token: bool, learned_positions: bool) {
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
        if cls_token {
            self.push("cls_token", vec![1, 1, dim], Init::Normal(0.02));
        }
        self.positions("pos_embed", config, dim, 1, learned_positions);
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
        let trained = config.learned_positions();
        self.positions("decoder_pos_embed", config, decoder_dim, config.cls_tokens(), trained);
    }

    /// What the targets are computed with; found in the data, not trained.
    fn target(&mut self, config: &ModelConfig) {
        let first = self.params.len();
        let patch_dim = config.patch_dim();
        match config.target {
            PatchTarget::Pixels | PatchTarget::Tokens { .. } => {}
            PatchTarget::Pca { components } => {
                self.push("target.basis", vec![components, patch_dim], Init::Zeros);
                self.push("target.bias", vec![components], Init::Zeros);
                self.push("target.mean", vec![patch_dim], Init::Zeros);
            }
            PatchTarget::Codebook { vocabulary } => {
                self.push("target.codebook", vec![vocabulary, patch_dim], Init::Zeros);
                self.push("target.bias", vec![vocabulary], Init::Zeros);
            }
        }
        self.params[first..].iter_mut().for_each(|param| param.trainable = false);
    }

    /// A table with `lead` rows before the grid's. Learned ones begin as in vit-pytorch (`randn`), or as timm's
    /// `VisionTransformer`, on which `facebookresearch/mae` stands (deviation 0.02).
    fn positions(
        &mut self,
        name: &str,
        config: &ModelConfig,
        dim: usize,
        lead: usize,
        trained: bool,
    ) {
        let init = match self.variant {
            _ if !config.learned_positions() => Init::SinCos { lead },
            Variant::Paper => Init::Normal(0.02),
            _ => Init::Normal(1.0),
        };
        self.push(name, vec![1, config.position_rows(), dim], init);
        self.params.last_mut().expect("just pushed").trainable = trained;
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
