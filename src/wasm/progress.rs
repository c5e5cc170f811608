//! How far something long has come, for JavaScript.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// Called with how many are done and how many there are.
    #[wasm_bindgen(
        extends = js_sys::Function,
        typescript_type = "(done: number, total: number) => void"
    )]
    pub type Progress;
}

impl Progress {
    /// Calls it. What it throws is its own matter.
    pub(super) fn report(&self, done: usize, total: usize) {
        let _ = self.call2(self, &done.into(), &total.into());
    }
}
