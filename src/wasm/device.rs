//! The graphics device.

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::error::{JsResult, json, named};
use super::info::AdapterInfo;
use super::progress::Progress;
use crate::gpu::GpuOptions;
use crate::kernels::Products;
use crate::program::Device;
use crate::tune::{Tuning, is_tunable, key};

/// An open device. Everything made with it shares it.
#[wasm_bindgen]
pub struct Device {
    pub(super) device: Device,
}

#[wasm_bindgen]
impl Device {
    /// Opens the browser's fastest adapter. `tier` (`cpu`, `cpu-textures`, `device`) asks for other kernels
    /// than those that suit it, to test them.
    ///
    /// # Errors
    /// `WebGPUUnavailable` if there is none, `InvalidOption` for another tier.
    pub async fn open(tier: Option<String>) -> JsResult<Self> {
        let tier = tier.as_deref().map(str::parse).transpose();
        let tier = tier.map_err(|problem: String| named("InvalidOption", &problem))?;
        Ok(Self { device: Device::new(&GpuOptions { tier, ..Default::default() }).await? })
    }

    /// What a choice of tiles for this device is kept under; nothing if there is none to make.
    #[wasm_bindgen(getter, js_name = tilesKey)]
    pub fn tiles_key(&self) -> Option<String> {
        is_tunable(&self.device).then(|| key(&self.device))
    }

    /// Measures which tiles of matrix products suit the device and takes them; a second or two. Returns
    /// them for [`Self::set_tiles`].
    ///
    /// # Errors
    /// `DeviceLost` or `OutOfMemory` if the device failed.
    pub async fn tune(&self) -> JsResult<String> {
        let products = Tuning::measure(&self.device).await?.products();
        self.device.set_products(products);
        Ok(json(&products))
    }

    /// Takes tiles that [`Self::tune`] returned once; says whether they are such.
    #[wasm_bindgen(js_name = setTiles)]
    pub fn set_tiles(&self, tiles: &str) -> bool {
        let products = serde_json::from_str::<Products>(tiles);
        products.map(|products| self.device.set_products(products)).is_ok()
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

    /// JSON of `AdapterInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        let adapter = self.device.adapter();
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
        self.device.allocated_bytes() as f64
    }

    /// Whether the device is lost.
    #[wasm_bindgen(getter, js_name = isLost)]
    pub fn is_lost(&self) -> bool {
        self.device.is_lost()
    }

    /// Destroys the device, as a driver's reset would.
    pub fn lose(&self) {
        self.device.lose();
    }
}
