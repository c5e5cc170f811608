//! Loss and gradients of one batch, to check this browser's numbers against a reference.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json, options};
use super::info::StoredTensor;
use crate::config::ModelConfig;
use crate::files::safetensors;
use crate::model::init::init_params;
use crate::model::objective::{MaskSource, Purpose, masked_objective};
use crate::model::params::mae_params;
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::program::{Device, Program, Recorder};
use crate::tensor::shapes;
use crate::weights::{FileKind, Missing, detect, to_internal};

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
        let objective =
            masked_objective(&mut rec, &config, batch, MaskSource::Given, Purpose::Evaluation);
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

    /// Runs `images [B, C, H, W]`, normalised, with the masks of `noise [B, L]`. Returns the values of
    /// [`Self::layout`].
    ///
    /// # Errors
    /// `OutOfMemory`, `DeviceLost`.
    pub async fn run(&self, images: &[f32], noise: &[f32]) -> JsResult<Vec<f32>> {
        self.program.write("images", images);
        self.program.write("noise", noise);
        self.program.submit();
        let mut values: Vec<f32> = self.program.read("loss").await?;
        for (label, _) in &self.kept {
            if *label == "ids_restore" {
                let ids: Vec<u32> = self.program.read(label).await?;
                values.extend(ids.iter().map(|&id| id as f32));
            } else {
                values.extend(self.program.read::<f32>(label).await?);
            }
        }
        for part in 0..self.store.parts(Role::Grad) {
            values.extend(self.store.read_part(Role::Grad, part).await?);
        }
        Ok(values)
    }

    /// JSON of the tensors in what [`Self::run`] returns, each with its first value: `loss`, `pred`, `latent`,
    /// `ids_restore`, and `grad.<name>` of every parameter under its internal name.
    #[wasm_bindgen(getter)]
    pub fn layout(&self) -> String {
        let (mut end, mut tensors) = (1, Vec::new());
        tensors.push(StoredTensor { name: "loss".to_owned(), shape: &[1], first: 0 });
        for (label, shape) in &self.kept {
            tensors.push(StoredTensor { name: (*label).to_owned(), shape, first: end });
            end += shape.iter().product::<usize>();
        }
        let begins: Vec<usize> = (0..self.store.parts(Role::Grad))
            .map(|part| {
                let begin = end;
                end += self.store.part_len(part);
                begin
            })
            .collect();
        for (part, first, spec) in self.store.stored(Role::Grad) {
            let name = format!("grad.{}", spec.name);
            tensors.push(StoredTensor { name, shape: &spec.shape, first: begins[part] + first });
        }
        json(&tensors)
    }
}
