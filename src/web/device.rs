//! The graphics device.

use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{JsResult, json, named};
use super::info::AdapterInfo;
use crate::gpu::{Gpu, GpuOptions, Tier};

/// An open device. Everything made with it shares it.
#[wasm_bindgen]
pub struct Device {
    pub(super) gpu: Gpu,
}

#[wasm_bindgen]
impl Device {
    /// Opens the browser's fastest adapter. `tier` (`cpu`, `cpu-textures`, `gpu`) asks for other kernels
    /// than those that suit it, to test them.
    ///
    /// # Errors
    /// `WebGPUUnavailable` if there is none, `InvalidOption` for another tier.
    pub async fn open(tier: Option<String>) -> JsResult<Self> {
        let tier = match tier.as_deref() {
            None => None,
            Some("cpu") => Some(Tier::Cpu),
            Some("cpu-textures") => Some(Tier::CpuTextures),
            Some("gpu") => Some(Tier::Gpu),
            Some(other) => {
                return Err(named("InvalidOption", &format!("There is no tier {other}.")));
            }
        };
        Ok(Self { gpu: Gpu::new(&GpuOptions { tier, ..Default::default() }).await? })
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
