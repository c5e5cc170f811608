//! How fast this adapter is, and whether its kernels are right: `webmae report` in a browser, with the smallest
//! workload.

use std::time::Duration;

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json};
use crate::measure::measuring::{Event, Measuring, Scope};
use crate::measure::workload::WORKLOADS;

#[wasm_bindgen]
extern "C" {
    /// Called with what happens: the name of the event, and its JSON.
    #[wasm_bindgen(
        extends = js_sys::Function,
        typescript_type = "(event: 'now' | 'report', json: string) => void"
    )]
    pub type Listener;
}

impl Listener {
    /// Calls it. What it throws is its own matter.
    fn tell(&self, event: &str, json: &str) {
        let _ = self.call2(self, &event.into(), &json.into());
    }
}

#[wasm_bindgen(js_class = Device)]
impl WebDevice {
    /// Measures for about so many `seconds`. Tells `listener` what is being done (JSON of `Now`), and again and again
    /// what was found so far (JSON of `Report`); at last with `finished`.
    ///
    /// # Errors
    /// `OutOfMemory` or `DeviceLost` if the device failed.
    pub async fn measure(&self, seconds: f64, listener: Listener) -> JsResult<()> {
        let scope = Scope {
            time: Duration::from_secs_f64(seconds),
            workloads: &WORKLOADS[..1],
            // One thread would take minutes for their twins.
            large_models: false,
            all_divisions: false,
            smaller_batches: true,
        };
        let mut tell = |event: Event<'_>| {
            match event {
                Event::Now(now) => listener.tell("now", &json(&now)),
                Event::Found(report) => listener.tell("report", &json(report)),
                // It is in the report.
                Event::LeftOut(_) => {}
            }
            Ok(())
        };
        Measuring::new(&self.device, scope, &mut tell).run().await?;
        Ok(())
    }
}
