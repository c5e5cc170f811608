//! Loss and gradients of one batch, to check this browser's numbers against a reference.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, options};
use crate::config::ModelConfig;
use crate::files::safetensors::{self, FloatType};
use crate::model::init::init_params;
use crate::model::objective::{MaskSource, masked_objective};
use crate::model::params::mae_params;
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::program::{Device, Program, Recorder};
use crate::tensor::{HostTensor, TensorMap, shapes};
use crate::weights::{FileKind, Metadata, Missing, detect, to_internal};

/// A model for training with the weights of a whole safetensors file, or as it is initialised.
///
/// # Errors
/// `BadWeights`, `InvalidOption`, `OutOfMemory`.
pub(super) fn load(
    device: &Device,
    weights: Option<&[u8]>,
    config: &ModelConfig,
) -> JsResult<ParamStore> {
    config.validate()?;
    let layout = ParamLayout::new(mae_params(config), device.max_binding());
    let store = ParamStore::new(device, layout, true)?;
    let values = match weights {
        None => init_params(store.layout().specs(), config.grid(), 0),
        Some(weights) => {
            let tensors = safetensors::from_bytes(weights)?.tensors;
            let format = detect(&shapes(&tensors))?;
            let converted = to_internal(format, config, &tensors, Missing::Refused)?;
            converted.kind.require(FileKind::Mae)?;
            converted.tensors
        }
    };
    store.load(Role::Value, &values)?;
    Ok(store)
}

/// A forward and backward pass of a fixed number of images.
#[wasm_bindgen]
pub struct Objective {
    store: ParamStore,
    program: Program,
    /// Results that are kept: label and shape.
    kept: Vec<(&'static str, Vec<usize>)>,
}

#[wasm_bindgen]
impl Objective {
    /// Loads a whole safetensors file of `config`'s (JSON) model.
    ///
    /// # Errors
    /// `BadWeights`, `InvalidOption`, `OutOfMemory`.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &WebDevice, weights: &[u8], config: &str, batch: usize) -> JsResult<Self> {
        let device = &device.device;
        let config = options(config)?;
        let store = load(device, Some(weights), &config)?;
        let mut rec = Recorder::new(device.target(), true);
        store.layout().declare(&mut rec, true);
        let objective = masked_objective(&mut rec, &config, batch, MaskSource::Given, 1);
        rec.clear_first(objective.loss);
        rec.backward();
        let kept = [
            ("pred", objective.decoded.pred),
            ("latent", objective.encoded.latent),
            ("ids_restore", objective.encoded.ids.restore),
        ];
        let kept = kept.map(|(label, tensor)| {
            rec.keep(tensor, label);
            (label, rec.shape(tensor).to_vec())
        });
        let program = Program::build(device, &rec, store.buffers())?;
        Ok(Self { store, program, kept: kept.to_vec() })
    }

    /// Runs `images [B, C, H, W]`, normalised, with the masks of `noise [B, L]`. Returns a safetensors
    /// file: `loss`, `pred`, `latent`, `ids_restore`, and `grad.<name>` of every parameter under its
    /// internal name.
    ///
    /// # Errors
    /// `OutOfMemory`, `DeviceLost`.
    pub async fn run(&self, images: &[f32], noise: &[f32]) -> JsResult<Vec<u8>> {
        self.program.write("images", images);
        self.program.write("noise", noise);
        self.program.submit();
        let mut results = TensorMap::new();
        let loss: Vec<f32> = self.program.read("loss").await?;
        results.insert("loss".to_owned(), HostTensor::new([1], loss));
        for (label, shape) in &self.kept {
            let values: Vec<f32> = if *label == "ids_restore" {
                let ids: Vec<u32> = self.program.read(label).await?;
                ids.iter().map(|&id| id as f32).collect()
            } else {
                self.program.read(label).await?
            };
            results.insert((*label).to_owned(), HostTensor::new(shape.clone(), values));
        }
        let gradients = self.store.read(Role::Grad).await?;
        let named = gradients.into_iter().map(|(name, tensor)| (format!("grad.{name}"), tensor));
        results.extend(named);
        Ok(safetensors::to_bytes(&results, &Metadata::new(), FloatType::F32)?)
    }
}
