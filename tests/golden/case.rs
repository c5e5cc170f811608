//! One case: its description, its tensors, and the manifest's tolerances.

use std::path::Path;

use serde_json::Value;
use webmae::tensor::{HostTensor, TensorMap};
use webmae::{MaskStrategy, ModelConfig, PatchTarget, StackConfig, Variant};

use crate::common::{max_abs, max_difference, relative_norm};

pub struct Case {
    pub json: Value,
    pub tensors: TensorMap,
}

impl Case {
    pub fn read(dir: &Path, json: &Value) -> Self {
        let file = dir.join(json["file"].as_str().expect("a file name"));
        let tensors = webmae::files::safetensors::read(file).expect("a readable case").tensors;
        Self { json: json.clone(), tensors }
    }

    pub fn tensor(&self, name: &str) -> &HostTensor {
        self.tensors.get(name).unwrap_or_else(|| panic!("the case lacks {name}"))
    }

    /// Tensors whose name begins with `prefix`, without it.
    pub fn group(&self, prefix: &str) -> TensorMap {
        let stripped = |(name, tensor): (&String, &HostTensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(stripped).collect()
    }

    pub fn kind(&self) -> &str {
        self.json["kind"].as_str().expect("a kind")
    }

    pub fn tolerance(&self, name: &str) -> f64 {
        self.json["suggested_tolerance"][name].as_f64().unwrap_or_else(|| panic!("no {name}"))
    }

    /// The manifest's own float32-against-float64 error of a tensor.
    pub fn own_error(&self, tensor: &str) -> f64 {
        self.json["err"][tensor][1].as_f64().unwrap_or(0.0)
    }

    pub fn names(&self, list: &str) -> Vec<String> {
        let names = self.json[list].as_array().into_iter().flatten();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }

    pub fn size(&self, field: &str) -> usize {
        let value = self.json["config"][field].as_u64();
        value.unwrap_or_else(|| panic!("the case's config lacks {field}")) as usize
    }

    fn number(&self, field: &str) -> f64 {
        let value = self.json["config"][field].as_f64();
        value.unwrap_or_else(|| panic!("the case's config lacks {field}"))
    }

    /// A size that may be one number or `[h, w]`.
    fn sides(&self, field: &str) -> [usize; 2] {
        match &self.json["config"][field] {
            Value::Array(sides) => [0, 1].map(|i| sides[i].as_u64().expect("a size") as usize),
            _ => [self.size(field); 2],
        }
    }

    /// The model that the case describes.
    pub fn model(&self) -> ModelConfig {
        let variant = match self.kind() {
            "blog_mae" | "plain_vit_cls" | "plain_vit_mean" => Variant::Plain,
            "vitp_mae" | "vitp_vit_cls" | "vitp_vit_mean" => Variant::VitPytorch,
            _ => Variant::Paper,
        };
        let has_decoder = !self.kind().contains("vit_");
        let paper = |width: &str, depth: &str, heads: &str, mlp: &str| StackConfig {
            dim_head: self.size(width) / self.size(heads),
            dim: self.size(width),
            depth: self.size(depth),
            heads: self.size(heads),
            mlp_dim: self.size(mlp),
        };
        let plain = |prefix: &str| StackConfig {
            dim: self.size(&format!("{prefix}dim")),
            depth: self.size(&format!("{prefix}depth")),
            heads: self.size(&format!("{prefix}heads")),
            dim_head: self.size(&format!("{prefix}dim_head")),
            mlp_dim: self.size(&format!("{prefix}mlp_dim")),
        };
        let (encoder, decoder) = if variant == Variant::Paper {
            let encoder = paper(
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
            );
            let decoder = has_decoder.then(|| {
                paper(
                    "decoder_hidden_size",
                    "decoder_num_hidden_layers",
                    "decoder_num_attention_heads",
                    "decoder_intermediate_size",
                )
            });
            (encoder, decoder.unwrap_or(encoder))
        } else {
            let encoder = plain("");
            (encoder, if has_decoder { plain("decoder_") } else { encoder })
        };
        let ratio = if variant == Variant::Paper { "mask_ratio" } else { "masking_ratio" };
        let config = ModelConfig {
            variant,
            image_size: self.sides("image_size"),
            patch_size: self.sides("patch_size"),
            channels: self.size("num_channels"),
            encoder,
            decoder,
            mask_ratio: if has_decoder { self.number(ratio) } else { 0.0 },
            mask_strategy: MaskStrategy::Random,
            target: PatchTarget::Pixels,
            norm_pix_loss: self.json["config"]["norm_pix_loss"].as_bool().unwrap_or(false),
            encoder_mask_tokens: false,
            positions: None,
            layer_norm_eps: self.number("layer_norm_eps") as f32,
            dropout: 0.0,
            emb_dropout: 0.0,
        };
        config.validate().expect("a valid configuration");
        config
    }

    /// Checks an output against the manifest's tolerance.
    pub fn check_output(&self, name: &str, actual: &[f32], failures: &mut Vec<String>) {
        let Some(expected) = self.tensors.get(name) else {
            failures.push(format!("the case lacks {name}"));
            return;
        };
        let limit = self.tolerance("output_rel_to_max") * max_abs(&expected.data);
        let difference = max_difference(actual, &expected.data);
        if !(difference <= limit) {
            failures.push(format!("{name}: max difference {difference:.3e}, allowed {limit:.3e}"));
        }
    }

    /// Checks the loss: 1e-5 relative to float64.
    pub fn check_loss(&self, actual: f32, expected: f64, failures: &mut Vec<String>) {
        let relative = (f64::from(actual) - expected).abs() / expected.abs();
        if !(relative <= 1e-5) {
            failures.push(format!("loss {actual}, expected {expected}: relative {relative:.3e}"));
        }
    }

    /// Checks every gradient: ‖Δ‖ ≤ 1e-4·‖ref‖, or three times the reference's own error where that
    /// is larger; and the manifest's tolerance on the largest difference.
    pub fn check_gradients(
        &self,
        actual: &TensorMap,
        expected: &TensorMap,
        failures: &mut Vec<String>,
    ) {
        let zero_abs = self.tolerance("zero_grad_abs");
        for (name, expected) in expected {
            let Some(actual) = actual.get(name) else {
                failures.push(format!("no gradient of {name}"));
                continue;
            };
            let mut actual = actual.data.clone();
            if name.ends_with("attn.qkv.bias") {
                // Exactly zero for keys in real arithmetic: compare by size.
                let third = actual.len() / 3;
                let keys = max_abs(&actual[third..2 * third]);
                if !(keys <= zero_abs) {
                    failures.push(format!("{name}: key bias gradient {keys:.3e} > {zero_abs:.3e}"));
                }
                actual[third..2 * third].copy_from_slice(&expected.data[third..2 * third]);
            }
            let relative = relative_norm(&actual, &expected.data);
            let own = self.own_error(&format!("grad.{name}")) / max_abs(&expected.data);
            let limit = 1e-4_f64.max(3.0 * own);
            if !(relative <= limit) {
                failures.push(format!("grad {name}: ‖Δ‖/‖ref‖ {relative:.3e} > {limit:.3e}"));
            }
            let limit = self.tolerance("grad_rel_to_max") * max_abs(&expected.data);
            let difference = max_difference(&actual, &expected.data);
            if !(difference <= limit) {
                failures.push(format!("grad {name}: max |Δ| {difference:.3e} > {limit:.3e}"));
            }
        }
    }
}
