//! Weights, tensor by tensor.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json, named, options};
use super::info::{KIND, ModelInfo, TensorRange, WeightsInfo, kind_name};
use super::model::Model;
use crate::model::objective::MaskSource;
use crate::model::params::encoder_or_mae_params;
use crate::model::reconstruct::Reconstructor;
use crate::model::store::{ParamLayout, ParamStore, Role};
use crate::program::Device;
use crate::weights::stream::Stream;
use crate::weights::{FileKind, Overrides};

/// Reads one safetensors file into a model.
#[wasm_bindgen]
pub struct WeightsLoader {
    device: Device,
    store: ParamStore,
    stream: Stream,
    info: ModelInfo,
    /// Which of the wanted tensors were written.
    written: Vec<bool>,
}

#[wasm_bindgen]
impl WeightsLoader {
    /// Understands a file of `file_bytes` bytes by its `header` (eight bytes of length, then JSON) and
    /// makes room on the device. What a reconstruction needs can be compiled from then on.
    ///
    /// # Errors
    /// `BadWeights`, `InvalidOption`, `OutOfMemory`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &WebDevice,
        header: &[u8],
        file_bytes: f64,
        hf_config: Option<String>,
        overrides: &str,
    ) -> JsResult<Self> {
        let overrides: Overrides = options(overrides)?;
        let stream = Stream::open(header, file_bytes as u64, hf_config.as_deref(), &overrides)?;
        let kind = stream.kind();
        kind.require(FileKind::EncoderOnly)?;
        let normalization = stream.normalization_or_imagenet()?;
        let config = &stream.config;
        let has = |name: &str| stream.mapping.tensors.contains_key(name);
        let specs = encoder_or_mae_params(config, has);
        let layout = ParamLayout::new(specs, device.device.max_binding());
        let parameters = layout.specs().iter().map(|spec| spec.len()).sum();
        let info = ModelInfo {
            device: KIND,
            config: config.clone(),
            grid: config.grid(),
            weights: WeightsInfo {
                format: stream.format.to_string(),
                kind: kind_name(kind),
                description: kind.to_string(),
                parameters,
                bytes: file_bytes as u64,
                step: stream.step,
                metadata: stream.metadata.clone(),
            },
            reconstructs: kind == FileKind::Mae,
            normalization,
        };
        let store = ParamStore::new(&device.device, layout, false)?;
        if info.reconstructs {
            // They depend on sizes only, so that they can be compiled while the weights arrive. A model
            // without pixels to show says so when it is asked for them.
            let _ =
                Reconstructor::declare(&device.device, &info.config, &store, MaskSource::Generated);
        }
        let written = vec![false; stream.wanted.len()];
        Ok(Self { device: device.device.clone(), store, stream, info, written })
    }

    /// JSON of `ModelInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        json(&self.info)
    }

    /// JSON of the wanted tensors with their places in the file, in its order.
    #[wasm_bindgen(getter)]
    pub fn tensors(&self) -> String {
        let entries = self.stream.wanted.iter().map(|wanted| &wanted.entry);
        let ranges: Vec<_> = entries.map(TensorRange::of).collect();
        json(&ranges)
    }

    /// Brings the bytes of wanted tensor `index` to the device.
    ///
    /// # Errors
    /// `BadWeights` for another number of bytes, an element type that is not read, or a value that is not finite.
    pub fn write(&mut self, index: usize, bytes: &[u8]) -> JsResult<()> {
        let Some(wanted) = self.stream.wanted.get(index) else {
            return Err(named("InvalidOption", &format!("There is no tensor {index}.")));
        };
        let values = wanted.values(bytes)?;
        // Heads and other parts without use here have no place.
        if self.store.layout().specs().iter().any(|spec| spec.name == wanted.internal) {
            self.store.write(Role::Value, &wanted.internal, wanted.first, &values);
        }
        self.written[index] = true;
        Ok(())
    }

    /// The model, once every tensor was written.
    ///
    /// # Errors
    /// `BadWeights` if one was not, `OutOfMemory`, `DeviceLost`.
    pub async fn finish(self) -> JsResult<Model> {
        if let Some(missing) = self.written.iter().position(|written| !written) {
            let name = &self.stream.wanted[missing].entry.name;
            return Err(named("BadWeights", &format!("The tensor {name} was not read.")));
        }
        // Waits for the uploads, whose failure shows here and not in the first picture.
        self.store.settle().await?;
        Ok(Model::new(self.device, self.store, self.info))
    }
}
