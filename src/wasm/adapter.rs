//! What only a graphics adapter has: tiles to choose, and a device to lose.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json};
use crate::gpu::Gpu;
use crate::kernels::Products;
use crate::tune::{Tuning, key};

impl WebDevice {
    fn gpu(&self) -> &Gpu {
        self.device.gpu().expect("a module for graphics adapters opens nothing else")
    }
}

#[wasm_bindgen(js_class = Device)]
impl WebDevice {
    /// What a choice of tiles for this device is kept under.
    #[wasm_bindgen(getter, js_name = tilesKey)]
    pub fn tiles_key(&self) -> String {
        key(self.gpu())
    }

    /// Measures which tiles of matrix products suit the device and takes them; a second or two. Returns
    /// them for [`Self::set_tiles`].
    ///
    /// # Errors
    /// `DeviceLost` or `OutOfMemory` if the device failed.
    pub async fn tune(&self) -> JsResult<String> {
        let products = Tuning::measure(self.gpu()).await?.products();
        self.device.set_products(products);
        Ok(json(&products))
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
