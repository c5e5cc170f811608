//! Compiling in a browser: all kernels at once, while the page and the GPU do other work.
//!
//! For `createComputePipeline`, the only way that wgpu has, Chromium compiles one kernel after the other on the
//! thread of its GPU process that serves all pages: for as long, no device of any page gets an answer. For
//! `createComputePipelineAsync` it has threads beside that. So what wgpu asks of the device is caught and asked
//! asynchronously; when the pipeline is there, it is what wgpu gets for the same call.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Reflect;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use wgpu::webgpu::GpuDevice;

use super::Gpu;
use super::pipeline::{Compilation, Pipeline};
use crate::error::Result;

impl Gpu {
    /// Compiles the kernels that were declared, and waits for those that others asked for. Calls `progress`
    /// with how many are done and how many there are, if there are any.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    pub async fn compile(&self, progress: impl Fn(usize, usize)) -> Result<()> {
        let kernels = self.uncompiled();
        if kernels.is_empty() {
            return Ok(());
        }
        let asked: Vec<Compilation> = kernels.iter().map(|kernel| self.ask_for(kernel)).collect();
        for (done, (kernel, Compilation { pipeline, source })) in
            kernels.iter().zip(asked).enumerate()
        {
            progress(done, kernels.len());
            if let Ok(pipeline) = JsFuture::from(pipeline).await {
                kernel.compiled.get_or_init(|| {
                    let create = || self.create_pipeline(kernel, &source);
                    with_create(self.raw(), move |_| pipeline.clone(), create)
                });
            }
            // A kernel that was refused is compiled when it is launched: that way tells why.
            kernel.asked.take();
        }
        progress(kernels.len(), kernels.len());
        self.check()
    }

    /// Asks for a kernel's pipeline, unless it is on its way.
    fn ask_for(&self, kernel: &Pipeline) -> Compilation {
        let ask = || {
            let source = self.source(kernel);
            let caught = Rc::new(RefCell::new(JsValue::UNDEFINED));
            let slot = Rc::clone(&caught);
            let catch = move |descriptor: JsValue| slot.replace(descriptor);
            with_create(self.raw(), catch, || self.create_pipeline(kernel, &source));
            let descriptor = caught.take();
            let pipeline = self.raw().create_compute_pipeline_async(descriptor.unchecked_ref());
            Compilation { pipeline: pipeline.unchecked_into(), source }
        };
        kernel.asked.borrow_mut().get_or_insert_with(ask).clone()
    }

    fn raw(&self) -> &GpuDevice {
        self.inner.device.as_webgpu().expect("browsers have no other backend")
    }
}

/// Calls `create` while `instead` is the device's `createComputePipeline`.
fn with_create<T>(
    device: &GpuDevice,
    instead: impl FnMut(JsValue) -> JsValue + 'static,
    create: impl FnOnce() -> T,
) -> T {
    let name = JsValue::from_str("createComputePipeline");
    let instead = Closure::<dyn FnMut(JsValue) -> JsValue>::new(instead);
    // The device's own property hides its class's, which is back when that is gone.
    Reflect::set(device, &name, instead.as_ref()).expect("objects of browsers are extensible");
    let created = create();
    Reflect::delete_property(device, &name).expect("it was just set");
    created
}
