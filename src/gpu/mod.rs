//! The graphics device: adapter, buffers, pipelines, uploads, readback, timestamps. No word of the
//! model here, and no `wgpu` type leaves this module.

mod adapter;
#[cfg(feature = "native")]
mod anatomy;
#[cfg(target_family = "wasm")]
mod browser;
mod compile;
mod cooperative;
mod pace;
#[cfg(not(target_family = "wasm"))]
mod parallel;
mod pending_map;
mod pipeline;
mod readback;
mod run;
#[cfg(feature = "native")]
mod staging;
#[cfg(target_family = "wasm")]
mod subgroups;

use std::collections::HashMap;
#[cfg(not(target_family = "wasm"))]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use adapter::{AdapterSummary, list_adapters};
#[cfg(not(target_family = "wasm"))]
pub use adapter::{adapter_from_env, backend_from_env};
#[cfg(feature = "native")]
pub use anatomy::Anatomy;
use pace::Pace;
use pipeline::Pipeline;
pub use readback::ReadBack;
pub use run::{CommandList, Dispatch};
#[cfg(feature = "native")]
pub use staging::{Staged, Staging};

use crate::error::{Error, Result};
use crate::kernels::{
    CooperativeMatrices, KernelKey, KernelTarget, Precision, Processor, Products, ProgramShapes,
    SMALLEST_SUBGROUP,
};
use crate::remedy::Remedy;
use crate::setting::Setting;

/// How to open a device.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Number or part of the name of the adapter; see [`list_adapters`].
    pub adapter: Option<String>,
    /// Ask for exactly WebGPU's default limits, to prove that nothing depends on more.
    pub default_limits: bool,
    /// Keep the shaders' run-time checks (bounds, endless loops) on native targets. Browsers always
    /// do.
    pub checked: bool,
    /// Leave `shader-f16` aside where the adapter offers it, to test what follows.
    pub without_f16: bool,
    /// Leave cooperative matrices aside where the adapter offers them: they are experimental in `wgpu`.
    pub without_cooperative_matrices: bool,
    /// Leave subgroups aside where the adapter offers them, and with them cooperative matrices.
    pub without_subgroups: bool,
    /// Let kernels reduce by barriers where the adapter offers subgroups; cooperative matrices stay.
    pub reduce_by_barriers: bool,
}

/// An open device. Cheap to clone; the clones share it.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    summary: AdapterSummary,
    products: Mutex<Products>,
    cooperative: CooperativeMatrices,
    subgroups: bool,
    checked: bool,
    f16: bool,
    allocated: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<Fault>>>,
    pace: Arc<Mutex<Pace>>,
    pipelines: Mutex<HashMap<KernelKey, Arc<Pipeline>>>,
    #[cfg(not(target_family = "wasm"))]
    on_compile: OnceLock<pipeline::Listener>,
    #[cfg(not(target_family = "wasm"))]
    on_products: OnceLock<ProductsListener>,
    /// Of all programs so far.
    #[cfg(target_family = "wasm")]
    shapes: Mutex<ProgramShapes>,
}

/// Called with the shapes of a program that is about to be built, and whether it trains.
#[cfg(not(target_family = "wasm"))]
type ProductsListener = Box<dyn Fn(&Gpu, &ProgramShapes, bool) -> Result<()> + Send + Sync>;

/// The first error that no call could return.
#[derive(Clone)]
enum Fault {
    Validation(String),
    OutOfMemory,
    /// Stays: nothing works on a lost device.
    Lost(String),
}

impl Fault {
    fn into_error(self) -> Error {
        match self {
            Self::Validation(problem) => Error::Device { problem },
            Self::OutOfMemory => Error::OutOfMemory {
                problem: "none is left on the GPU; other programs that use it may hold some"
                    .to_owned(),
                remedies: vec![
                    Remedy::on(Setting::Recompute).giving("in training"),
                    smaller_batches(),
                ],
            },
            Self::Lost(message) => Error::DeviceLost {
                problem: format!("{message}; go on from the last checkpoint on a new device"),
            },
        }
    }
}

fn smaller_batches() -> Remedy {
    Remedy::smaller(Setting::BatchSize).with_more_batches()
}

/// Memory on the device.
pub struct Buffer {
    raw: wgpu::Buffer,
    bytes: u64,
    _allocation: Allocation,
}

/// Bytes that count as allocated as long as this lives.
struct Allocation {
    bytes: u64,
    total: Arc<AtomicU64>,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // In a browser the memory would else wait for the garbage collector.
        self.raw.destroy();
    }
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] if there is none that fits, [`Error::Device`] if it cannot be opened.
    pub async fn new(options: &GpuOptions) -> Result<Self> {
        let instance = adapter::new_instance();
        let adapter = adapter::choose(&instance, options.adapter.as_deref()).await?;
        let summary = adapter::summarize(&adapter);
        let info = adapter.get_info();
        let mut cooperative = CooperativeMatrices::default();
        let without = options.without_cooperative_matrices || options.without_subgroups;
        if !without {
            cooperative = summary.cooperative;
        }
        if options.without_f16 {
            cooperative.f16 = None;
        }
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY;
        wanted.set(wgpu::Features::SHADER_F16, !options.without_f16);
        let wants_subgroups =
            !options.without_subgroups && info.subgroup_min_size >= SMALLEST_SUBGROUP;
        wanted.set(wgpu::Features::SUBGROUP, wants_subgroups);
        if cooperative.any() {
            wanted |= cooperative::FEATURES;
        }
        let features = adapter.features() & wanted;
        let mut limits = wgpu::Limits::default();
        if !options.default_limits {
            let offered = adapter.limits();
            limits.max_storage_buffer_binding_size = offered.max_storage_buffer_binding_size;
            limits.max_buffer_size = offered.max_buffer_size;
            limits.max_compute_workgroup_storage_size = offered.max_compute_workgroup_storage_size;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("webmae"),
            required_features: features,
            required_limits: limits,
            experimental_features: if cooperative.any() {
                // SAFETY: asked for nothing but cooperative matrices, whose kernels load from and store
                // to places within their own arrays, in control flow that is uniform over a subgroup.
                unsafe { wgpu::ExperimentalFeatures::enabled() }
            } else {
                wgpu::ExperimentalFeatures::disabled()
            },
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let request = || adapter.request_device(&descriptor);
        #[cfg(target_family = "wasm")]
        let (request, subgroups) = match wants_subgroups {
            true => subgroups::asking(request),
            false => (request(), false),
        };
        #[cfg(not(target_family = "wasm"))]
        let (request, subgroups) = (request(), features.contains(wgpu::Features::SUBGROUP));
        let (device, queue) = request.await.map_err(|e| Error::Device {
            problem: format!("{} could not be opened: {e}", summary.name),
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let fault = match &error {
                wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
                _ => Fault::Validation(error.to_string()),
            };
            slot.lock().unwrap().get_or_insert(fault);
        }));
        let slot = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, message| {
            // Whatever else failed, failed because of this.
            *slot.lock().unwrap() = Some(Fault::Lost(message.trim_end_matches('.').to_owned()));
        });
        Ok(Self {
            inner: Arc::new(Inner {
                device,
                queue,
                summary,
                products: Mutex::default(),
                cooperative,
                checked: options.checked,
                f16: features.contains(wgpu::Features::SHADER_F16),
                subgroups: subgroups && !options.reduce_by_barriers,
                allocated: Arc::default(),
                fault,
                pace: Arc::new(Mutex::new(Pace::new())),
                pipelines: Mutex::default(),
                #[cfg(not(target_family = "wasm"))]
                on_compile: OnceLock::new(),
                #[cfg(not(target_family = "wasm"))]
                on_products: OnceLock::new(),
                #[cfg(target_family = "wasm")]
                shapes: Mutex::default(),
            }),
        })
    }

    /// What is known of the adapter.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// Checks that kernels can compute in `precision`.
    ///
    /// # Errors
    /// [`Error::Config`] if the adapter has not what it takes.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        if precision == Precision::F32 || self.inner.f16 {
            return Ok(());
        }
        let problem = format!(
            "f16 needs `shader-f16`, which {} does not offer; take f32, or an adapter that offers it",
            self.inner.summary.name
        );
        Err(Error::config(Setting::Precision, problem))
    }

    /// What programs for this device are recorded for.
    pub fn target(&self) -> KernelTarget {
        KernelTarget {
            processor: Processor::Gpu,
            products: self.products(),
            cooperative: self.inner.cooperative,
            subgroups: self.inner.subgroups,
            workgroup_memory: self.inner.device.limits().max_compute_workgroup_storage_size,
        }
    }

    /// How matrix products are divided in programs that are recorded from now on.
    pub fn products(&self) -> Products {
        self.inner.products.lock().unwrap().clone()
    }

    /// Chooses the tiles of matrix products in programs that are recorded from now on.
    pub fn set_products(&self, products: Products) {
        *self.inner.products.lock().unwrap() = products;
    }

    /// Calls `listener` before a program is built, with the shapes of its products and its attention and whether it
    /// trains, so that it may measure and choose how they are computed. The first listener stays.
    #[cfg(not(target_family = "wasm"))]
    pub fn on_products(
        &self,
        listener: impl Fn(&Self, &ProgramShapes, bool) -> Result<()> + Send + Sync + 'static,
    ) {
        let _ = self.inner.on_products.set(Box::new(listener));
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn choose_products(&self, shapes: &ProgramShapes, trains: bool) -> Result<()> {
        if self.products().is_uniform() {
            // Somebody wants these tiles.
            return Ok(());
        }
        let listener = self.inner.on_products.get();
        listener.map_or(Ok(()), |listener| listener(self, shapes, trains))
    }

    /// Notes the shapes of a program, for [`Self::shapes`].
    #[cfg(target_family = "wasm")]
    pub(crate) fn note_products(&self, shapes: &ProgramShapes) {
        self.inner.shapes.lock().unwrap().extend(shapes);
    }

    /// The shapes of all programs so far.
    #[cfg(target_family = "wasm")]
    pub fn shapes(&self) -> ProgramShapes {
        self.inner.shapes.lock().unwrap().clone()
    }

    /// Changes how long a submission of launches should take, 100 ms at first: longer programs are submitted in parts of
    /// about that. With [`Duration::ZERO`] every launch is submitted alone, with [`Duration::MAX`] every program whole.
    pub fn set_submission_time(&self, target: Duration) {
        self.inner.pace.lock().unwrap().set_target(target);
    }

    /// Submissions of launches so far.
    pub fn submissions(&self) -> u64 {
        self.inner.pace.lock().unwrap().submissions()
    }

    /// Largest storage binding of the open device in bytes.
    pub fn max_binding(&self) -> u64 {
        self.inner.device.limits().max_storage_buffer_binding_size
    }

    /// Bytes in buffers that are alive on this device.
    pub fn allocated_bytes(&self) -> u64 {
        self.inner.allocated.load(Ordering::Relaxed)
    }

    /// A zeroed buffer for storage, upload and readback.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] over the device's buffer limit.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.buffer_for(label, bytes, usage)
    }

    fn buffer_for(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let limit = self.inner.device.limits().max_buffer_size;
        // Copies and clears work in words of four bytes; empty buffers are not allowed.
        let bytes = bytes.max(4).next_multiple_of(4);
        if bytes > limit {
            let problem = format!(
                "{label} needs a buffer of {bytes} bytes, {} allows {limit}",
                self.inner.summary.name
            );
            return Err(Error::DoesNotFit { problem, remedies: vec![smaller_batches()] });
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: usage.contains(wgpu::BufferUsages::MAP_WRITE),
        };
        let allocation = self.account(bytes);
        let raw = self.inner.device.create_buffer(&descriptor);
        Ok(Buffer { raw, bytes, _allocation: allocation })
    }

    fn account(&self, bytes: u64) -> Allocation {
        self.inner.allocated.fetch_add(bytes, Ordering::Relaxed);
        Allocation { bytes, total: Arc::clone(&self.inner.allocated) }
    }

    /// Writes `data` at byte `offset` before the next submission runs.
    pub fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        self.inner.queue.write_buffer(&buffer.raw, offset, data);
    }

    /// Reads `bytes` bytes from byte `offset` after all submitted work.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed meanwhile.
    pub async fn read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let mut copy = ReadBack::new(self, bytes)?;
        copy.start(buffer, offset, bytes);
        copy.finish().await
    }

    /// Returns the first error that the device reported on its own, if any. A lost device reports its
    /// loss every time.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`], or [`Error::Device`] for a fault in this program.
    pub fn check(&self) -> Result<()> {
        let mut fault = self.inner.fault.lock().unwrap();
        let found = match &*fault {
            Some(Fault::Lost(_)) => fault.clone(),
            _ => fault.take(),
        };
        found.map_or(Ok(()), |fault| Err(fault.into_error()))
    }

    /// Whether the device is lost, so that only a new one can go on.
    pub fn is_lost(&self) -> bool {
        matches!(*self.inner.fault.lock().unwrap(), Some(Fault::Lost(_)))
    }

    /// Destroys the device, as a driver's reset would: for testing what follows.
    pub fn lose(&self) {
        self.inner.device.destroy();
    }
}
