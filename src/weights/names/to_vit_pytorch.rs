//! Internal tensors as the state dict of a model of vit-pytorch, whole: `load_state_dict(…, strict=True)` takes it.

use super::Format;
use crate::config::{ModelConfig, Variant};
use crate::error::{Error, Result};
use crate::model::classifier::Pool;
use crate::model::params::mae_params;
use crate::model::store::require_all;
use crate::tensor::{HostTensor, TensorMap};

/// A model of vit-pytorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VitPytorchModel {
    /// `MAE`, whose `encoder` is a `ViT(num_classes=classes)` (with `pool="mean"` as of 1.0). That has a head, and up
    /// to 0.25 a cls token, which pre-training does not use: they are written as zeros.
    Mae {
        /// Rows of the unused head.
        classes: usize,
    },
    /// `ViT`, a classifier.
    Vit {
        /// Its `pool`.
        pool: Pool,
    },
}

/// The state dict of `model` with the values of the internal `tensors`: in the plain variant that of vit-pytorch up to
/// 0.25, in the vit-pytorch variant that of 1.x. Fixed positions are written as they are, though vit-pytorch would train
/// them.
///
/// # Errors
/// [`Error::Argument`] for what vit-pytorch has not: the paper variant, a decoder whose MLP is not four times as wide,
/// mask tokens in the encoder. [`Error::BadWeights`] if a tensor is missing.
pub fn to_vit_pytorch(
    config: &ModelConfig,
    tensors: &TensorMap,
    model: VitPytorchModel,
) -> Result<TensorMap> {
    let refuse = |problem: String| Err(Error::argument("export to vit-pytorch", problem));
    let format = match config.variant {
        Variant::Plain => Format::VitPytorchOld,
        Variant::VitPytorch => Format::VitPytorch,
        Variant::Paper => {
            return refuse(
                "it has no paper variant: take Hugging Face's or webmae's format".to_owned(),
            );
        }
    };
    let (dim, mlp_dim) = (config.decoder.dim, config.decoder.mlp_dim);
    if matches!(model, VitPytorchModel::Mae { .. }) {
        if mlp_dim != 4 * dim {
            return refuse(format!(
                "its decoder's MLPs are four times as wide as its tokens ({dim}), not {mlp_dim}"
            ));
        }
        require_all(&mae_params(config), tensors)?;
    }
    let written = Written { config, model, newer: format == Format::VitPytorch };
    let table = format.table();
    let mut state = TensorMap::new();
    for (internal, tensor) in tensors.iter().chain(&written.untrained()) {
        let tensor = written.adapted(internal, tensor);
        let names = table.foreign_names(internal).into_iter();
        // The decoder's side of an autoencoder has the embedding a second time.
        let second =
            matches!(model, VitPytorchModel::Mae { .. }).then(|| table.second_names(internal));
        let mut names = names.chain(second.into_iter().flatten()).peekable();
        if names.peek().is_none() {
            return refuse(format!("it has no counterpart of {internal:?}"));
        }
        for name in names {
            let name = match model {
                VitPytorchModel::Mae { .. } => name,
                VitPytorchModel::Vit { .. } => {
                    name.trim_start_matches(table.encoder_prefix).to_owned()
                }
            };
            state.insert(name, tensor.clone());
        }
    }
    Ok(state)
}

struct Written<'a> {
    config: &'a ModelConfig,
    model: VitPytorchModel,
    /// 1.x
    newer: bool,
}

impl Written<'_> {
    /// What the model has besides, and no training has touched.
    fn untrained(&self) -> TensorMap {
        let dim = self.config.encoder.dim;
        let mut tensors = TensorMap::new();
        let mut zeros = |name: &str, shape: &[usize]| {
            tensors.insert(name.to_owned(), HostTensor::zeros(shape));
        };
        match self.model {
            VitPytorchModel::Mae { classes } => {
                zeros("cls_token", &[usize::from(!self.newer), 1, dim]);
                zeros("head.weight", &[classes, dim]);
                zeros("head.bias", &[classes]);
                if !self.newer {
                    zeros("fc_norm.bias", &[dim]);
                    let ones = HostTensor::new([dim], vec![1.0; dim]);
                    tensors.insert("fc_norm.weight".to_owned(), ones);
                }
            }
            VitPytorchModel::Vit { pool: Pool::Mean } if self.newer => {
                zeros("cls_token", &[0, 1, dim])
            }
            VitPytorchModel::Vit { .. } => {}
        }
        tensors
    }

    /// `tensor` with the rows and the shape that it has there.
    fn adapted(&self, internal: &str, tensor: &HostTensor) -> HostTensor {
        let dim = tensor.shape.last().copied().unwrap_or(1);
        let rows = |range: std::ops::RangeFrom<usize>, without: usize| {
            let data = tensor.data[range.start * dim..tensor.data.len() - without * dim].to_vec();
            HostTensor::new([data.len() / dim, dim], data)
        };
        let has_cls = self.model == VitPytorchModel::Vit { pool: Pool::Cls };
        match (internal, self.newer) {
            ("pos_embed", true) => rows(usize::from(!has_cls).., 0),
            ("cls_token", true) => {
                HostTensor::new([tensor.data.len() / dim, dim], tensor.data.clone())
            }
            ("decoder_pos_embed", true) => rows(0.., 1),
            ("decoder_pos_embed", false) => rows(0.., 0),
            _ => tensor.clone(),
        }
    }
}
