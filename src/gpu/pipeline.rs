//! Kernels on a device. A program only declares those that it launches, which takes no time; they are compiled
//! all at once, or else when they are first launched.

#[cfg(target_family = "wasm")]
use std::cell::RefCell;
use std::sync::OnceLock;

use crate::kernels::KernelKey;

/// What a kernel is compiled from.
#[derive(Clone)]
pub(super) struct Source {
    pub module: wgpu::ShaderModule,
    pub layout: wgpu::PipelineLayout,
}

/// A kernel that is compiled or will be.
pub(crate) struct Pipeline {
    pub(super) key: KernelKey,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) compiled: OnceLock<wgpu::ComputePipeline>,
    #[cfg(target_family = "wasm")]
    pub(super) asked: Asked,
}

/// Called as kernels are compiled, from any thread: how many of how many are done.
#[cfg(not(target_family = "wasm"))]
pub(super) type Listener = Box<dyn Fn(usize, usize) + Send + Sync>;

/// What was asked of a browser, until it is there.
#[cfg(target_family = "wasm")]
pub(super) type Asked = RefCell<Option<Compilation>>;

/// A kernel's pipeline on its way.
#[cfg(target_family = "wasm")]
#[derive(Clone)]
pub(super) struct Compilation {
    pub pipeline: js_sys::Promise,
    pub source: Source,
}
