//! Whether the kernels of this adapter are right: `webmae verify` in a browser. In a module of its own, which has the
//! shaders and their twins, and which only those load who ask for it.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json};
use crate::gpu::Gpu;
use crate::program::Comparison;
use crate::verify::{Case, cases, verdicts};

/// A check under way.
#[wasm_bindgen]
pub struct Check {
    gpu: Gpu,
    cases: Vec<Case>,
    done: usize,
    comparisons: Vec<Comparison>,
}

#[wasm_bindgen]
impl Check {
    /// Of the kernels of `device`. Models of the size of ViT-B are left out: one thread would take minutes for their
    /// twins.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &WebDevice) -> Self {
        let gpu = device.gpu().clone();
        let cases = cases(&gpu, false);
        Self { gpu, cases, done: 0, comparisons: Vec::new() }
    }

    /// Names of the cases, in order.
    #[wasm_bindgen(getter)]
    pub fn cases(&self) -> Vec<String> {
        self.cases.iter().map(|case| case.name().to_owned()).collect()
    }

    /// Compares the next case.
    ///
    /// # Errors
    /// `OutOfMemory` or `DeviceLost` if the device failed.
    pub async fn next(&mut self) -> JsResult<()> {
        let case = &self.cases[self.done];
        self.comparisons.extend(case.compare(&self.gpu).await?);
        self.done += 1;
        Ok(())
    }

    /// JSON of a `Verdict` for each variant that was compared.
    #[wasm_bindgen(getter)]
    pub fn verdicts(&self) -> String {
        json(&verdicts(&self.comparisons))
    }
}
