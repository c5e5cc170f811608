//! The graphics device.

use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{JsResult, json};
use super::info::AdapterInfo;
use crate::gpu::{Gpu, GpuOptions};

/// An open device. Everything made with it shares it.
#[wasm_bindgen]
pub struct Device {
    pub(super) gpu: Gpu,
}

#[wasm_bindgen]
impl Device {
    /// Opens the browser's fastest adapter.
    ///
    /// # Errors
    /// `WebGPUUnavailable` if there is none.
    pub async fn open() -> JsResult<Self> {
        Ok(Self { gpu: Gpu::new(&GpuOptions::default()).await? })
    }

    /// JSON of `AdapterInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        let adapter = self.gpu.adapter();
        json(&AdapterInfo {
            name: &adapter.name,
            kind: adapter.kind,
            max_binding: adapter.max_binding,
            max_buffer: adapter.max_buffer,
            features: &adapter.features,
        })
    }

    /// Bytes in buffers that are alive.
    #[wasm_bindgen(getter, js_name = allocatedBytes)]
    pub fn allocated_bytes(&self) -> f64 {
        self.gpu.allocated_bytes() as f64
    }

    /// Whether the device is lost.
    #[wasm_bindgen(getter, js_name = isLost)]
    pub fn is_lost(&self) -> bool {
        self.gpu.is_lost()
    }

    /// Destroys the device, as a driver's reset would.
    pub fn lose(&self) {
        self.gpu.lose();
    }
}
