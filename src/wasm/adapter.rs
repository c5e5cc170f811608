//! What only a graphics adapter has: tiles to choose, and a device to lose.

use std::time::Duration;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::device::WebDevice;
use super::error::{JsResult, json};
use crate::gpu::Gpu;
use crate::kernels::Products;
use crate::tune::{Effort, Tuning, key, unknown};

#[wasm_bindgen]
extern "C" {
    /// Called for a promise that is fulfilled when the device is free.
    #[wasm_bindgen(extends = js_sys::Function, typescript_type = "() => Promise<void>")]
    pub type Turn;
}

impl Turn {
    /// Waits. What it throws is its own matter.
    async fn take(&self) {
        if let Ok(promise) = self.call0(self) {
            let _ = JsFuture::from(Promise::resolve(&promise)).await;
        }
    }
}

#[wasm_bindgen(js_class = Device)]
impl WebDevice {
    /// What a choice of tiles for this device is kept under.
    #[wasm_bindgen(getter, js_name = tilesKey)]
    pub fn tiles_key(&self) -> String {
        key(self.gpu())
    }

    /// Measures how the products of the programs so far are best divided, if that is not known, and divides them
    /// so from then on. Awaits `turn` before it uses the device. The promise is for what is known now, for
    /// [`Self::set_tiles`]; for nothing if there was nothing to measure.
    ///
    /// # Errors
    /// `DeviceLost` or `OutOfMemory` if the device failed.
    pub fn tune(&self, turn: Turn) -> Promise {
        // Its own hold on the device: this object may be freed meanwhile.
        let gpu = self.gpu().clone();
        future_to_promise(async move {
            let known = measure(&gpu, &turn).await?;
            Ok(known.map_or(JsValue::UNDEFINED, JsValue::from))
        })
    }

    /// Takes tiles that [`Self::tune`] returned once; says whether they are such.
    #[wasm_bindgen(js_name = setTiles)]
    pub fn set_tiles(&self, tiles: &str) -> bool {
        let products = serde_json::from_str::<Products>(tiles);
        products.map(|products| self.device.set_products(products)).is_ok()
    }

    /// Destroys the device, as a driver's reset would.
    pub fn lose(&self) {
        self.gpu().lose();
    }
}

async fn measure(gpu: &Gpu, turn: &Turn) -> JsResult<Option<String>> {
    /// Nobody waits for it.
    const BUDGET: Duration = Duration::from_secs(30);
    let mut products = gpu.products();
    let unknown = unknown(&gpu.shapes(), &products);
    if unknown.is_empty() {
        return Ok(None);
    }
    let effort = Effort { budget: BUDGET, ..Effort::default() };
    let mut take_turn = async |_, _| turn.take().await;
    Tuning::measure(gpu, &unknown, effort, &mut take_turn).await?.add_to(&mut products);
    let text = json(&products);
    gpu.set_products(products);
    Ok(Some(text))
}
