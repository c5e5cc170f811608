//! The graphics device: adapter, buffers, kernels, uploads, readback, timestamps. No word of the
//! model here, and no `wgpu` type leaves this module.

mod adapter;
mod mapping;
mod operands;
mod precision;
mod readback;
mod run;
pub mod shaders;
#[cfg(feature = "native")]
mod staging;
mod target;
pub mod texture;
mod unroll;
#[cfg(feature = "native")]
mod uploads;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use adapter::{AdapterSummary, list_adapters};
pub use precision::{Precision, Types};
pub use readback::ReadBack;
pub use run::{CommandList, Dispatch};
use shaders::{Access, Shader};
#[cfg(feature = "native")]
pub use staging::{Staged, Staging};
pub use target::{Blocking, KernelTarget, ProductClass, ProductLayout, Products, Tier};
#[cfg(feature = "native")]
pub use uploads::Uploads;

use crate::error::{Error, Result};

/// Most workgroups in one dimension of a dispatch, on every adapter (WebGPU's default limit).
pub const MAX_GROUPS_PER_DIMENSION: u32 = 65_535;
/// WebGPU's default for the largest storage binding, in bytes.
pub const DEFAULT_MAX_BINDING: u64 = 128 << 20;
/// Alignment of a binding's offset in bytes, on every adapter (WebGPU's default limit).
pub const BINDING_ALIGNMENT: u64 = 256;
/// Smaller subgroups are left aside.
pub const SMALLEST_SUBGROUP: u32 = 4;

/// Buffers of a ring of staging memory: a step copies from one, one waits for its step, one is being filled.
pub const STAGING_BUFFERS: usize = 3;

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
    /// Kernels of this tier instead of those that suit the adapter, to test them.
    pub tier: Option<Tier>,
    /// Leave `shader-f16` aside where the adapter offers it, to test what follows.
    pub without_f16: bool,
    /// The same for subgroups.
    pub without_subgroups: bool,
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
    tier: Tier,
    products: Mutex<Products>,
    checked: bool,
    f16: bool,
    subgroups: bool,
    allocated: Arc<AtomicU64>,
    fault: Arc<Mutex<Option<Fault>>>,
    kernels: Mutex<HashMap<KernelKey, Arc<Kernel>>>,
}

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
                problem:
                    "try --recompute in training, a smaller --batch-size (with --grad-accum the \
                     effective batch stays), or close other programs that use the GPU"
                        .to_owned(),
            },
            Self::Lost(message) => Error::DeviceLost {
                problem: format!("{message}; go on from the last checkpoint on a new device"),
            },
        }
    }
}

/// A kernel and the values of its `override` constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelKey {
    /// File name in `shaders/`.
    pub shader: &'static str,
    /// Override constants, `bool`s as 0 or 1, and numbers that the text declares for what it repeats.
    pub constants: Vec<(&'static str, u32)>,
    /// Element types.
    pub types: Types,
}

/// A compiled kernel.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
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
        let mut wanted = wgpu::Features::TIMESTAMP_QUERY;
        wanted.set(wgpu::Features::SHADER_F16, !options.without_f16);
        let info = adapter.get_info();
        let subgroups = !options.without_subgroups && info.subgroup_min_size >= SMALLEST_SUBGROUP;
        wanted.set(wgpu::Features::SUBGROUP, subgroups);
        let features = adapter.features() & wanted;
        let mut limits = wgpu::Limits::default();
        if !options.default_limits {
            let offered = adapter.limits();
            limits.max_storage_buffer_binding_size = offered.max_storage_buffer_binding_size;
            limits.max_buffer_size = offered.max_buffer_size;
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("webmae"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            Error::Device { problem: format!("{} could not be opened: {e}", summary.name) }
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
                tier: options.tier.unwrap_or_else(|| Tier::of(&info)),
                products: Mutex::default(),
                checked: options.checked,
                f16: features.contains(wgpu::Features::SHADER_F16),
                subgroups: features.contains(wgpu::Features::SUBGROUP),
                allocated: Arc::default(),
                fault,
                kernels: Mutex::default(),
            }),
        })
    }

    /// What is known of the adapter.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.inner.summary
    }

    /// Which kernels suit the adapter.
    pub fn tier(&self) -> Tier {
        self.inner.tier
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
        Err(Error::config("--precision", problem))
    }

    /// What programs for this device are recorded for.
    pub fn target(&self) -> KernelTarget {
        let products = *self.inner.products.lock().unwrap();
        KernelTarget { tier: self.tier(), products, subgroups: self.inner.subgroups }
    }

    /// Chooses the tiles of matrix products in programs that are recorded from now on.
    pub fn set_products(&self, products: Products) {
        *self.inner.products.lock().unwrap() = products;
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
                "{label} needs a buffer of {bytes} bytes, {} allows {limit}; try a smaller batch",
                self.inner.summary.name
            );
            return Err(Error::DoesNotFit { problem });
        }
        let raw = self.inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: usage.contains(wgpu::BufferUsages::MAP_WRITE),
        });
        Ok(Buffer { raw, bytes, _allocation: self.account(bytes) })
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

    /// The compiled kernel for `key`, from the cache if it was asked for before.
    pub(crate) fn kernel(&self, key: &KernelKey) -> Arc<Kernel> {
        let mut kernels = self.inner.kernels.lock().unwrap();
        if let Some(kernel) = kernels.get(key) {
            return Arc::clone(kernel);
        }
        let kernel = Arc::new(self.compile(key));
        kernels.insert(key.clone(), Arc::clone(&kernel));
        kernel
    }

    fn compile(&self, key: &KernelKey) -> Kernel {
        let shader = Shader::named(key.shader);
        let device = &self.inner.device;
        let checks = if self.inner.checked {
            wgpu::ShaderRuntimeChecks::checked()
        } else {
            wgpu::ShaderRuntimeChecks::unchecked()
        };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(shader.text(key.types, &key.constants).into()),
        };
        // SAFETY: the kernels are our own and index within the sizes that the ops give them; the
        // tests run every one of them with the checks on as well.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let buffer = |ty| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let bindings = shader.operands(key.types).map(|(access, precision)| match access {
            Access::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
            Access::Write => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
            Access::Texture => texture::binding(precision),
        });
        let entries: Vec<wgpu::BindGroupLayoutEntry> =
            std::iter::once(buffer(wgpu::BufferBindingType::Uniform))
                .chain(bindings)
                .zip(0..)
                .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty,
                    count: None,
                })
                .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(shader.name),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let overrides = shader.overrides(&key.constants);
        let constants: Vec<(&str, f64)> =
            overrides.map(|(name, value)| (name, f64::from(value))).collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: self.inner.checked,
            },
            cache: None,
        });
        Kernel { pipeline, layout }
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
