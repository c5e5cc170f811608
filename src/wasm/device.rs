//! The device that everything else runs on: a graphics adapter or the processor, whichever the module was built for.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::error::{JsResult, json};
use super::progress::Progress;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuOptions};
use crate::program::Device;

/// An open device, `Device` in JavaScript. Everything made with it shares it.
#[wasm_bindgen(js_name = Device)]
pub struct WebDevice {
    pub(super) device: Device,
}

#[cfg(feature = "gpu")]
impl WebDevice {
    pub(super) fn gpu(&self) -> &Gpu {
        self.device.gpu().expect("a module for graphics adapters opens nothing else")
    }
}

#[wasm_bindgen(js_class = Device)]
impl WebDevice {
    /// Opens the browser's fastest adapter, or the processor.
    ///
    /// # Errors
    /// `WebGPUUnavailable` if there is no adapter.
    pub async fn open() -> JsResult<Self> {
        Ok(Self { device: open().await? })
    }

    /// Compiles the kernels of all that was opened and is to be opened (`WeightsLoader`), and tells `progress`
    /// how many are done. What is run before is compiled then, without other work beside it.
    ///
    /// # Errors
    /// `OutOfMemory` or `DeviceLost` if the device failed.
    pub fn compile(&self, progress: Progress) -> Promise {
        // Its own hold on the device: this object may be freed meanwhile.
        let device = self.device.clone();
        future_to_promise(async move {
            device.compile(|done, total| progress.report(done, total)).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// JSON of `DeviceSummary`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        json(&self.device.summary())
    }

    /// Bytes in buffers that are alive.
    #[wasm_bindgen(getter, js_name = allocatedBytes)]
    pub fn allocated_bytes(&self) -> f64 {
        self.device.allocated_bytes() as f64
    }

    /// Whether the device is lost.
    #[wasm_bindgen(getter, js_name = isLost)]
    pub fn is_lost(&self) -> bool {
        self.device.is_lost()
    }
}

#[cfg(feature = "gpu")]
async fn open() -> Result<Device> {
    Ok(Gpu::new(&GpuOptions::default()).await?.into())
}

#[cfg(not(feature = "gpu"))]
async fn open() -> Result<Device> {
    Ok(crate::cpu::Cpu::default().into())
}
