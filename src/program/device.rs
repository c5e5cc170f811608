//! What runs programs: a GPU, or the processor. Nothing above this knows which.

#[cfg(feature = "cpu")]
use std::sync::Arc;

use super::recorder::Recorder;
#[cfg(feature = "cpu")]
use crate::cpu::{self, Cpu};
#[cfg(feature = "cpu")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{self, Gpu};
#[cfg(feature = "gpu")]
use crate::kernels::Products;
use crate::kernels::{KernelTarget, Precision};
#[cfg(feature = "cpu")]
use crate::setting::Setting;

/// An open device. Cheap to clone; the clones share it.
#[derive(Clone)]
pub enum Device {
    /// A graphics adapter, by way of the shaders.
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
    /// The processor, by way of the twins.
    #[cfg(feature = "cpu")]
    Cpu(Cpu),
}

/// [`DeviceSummary::backend`] of the processor.
const CPU: &str = "cpu";

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DeviceSummary {
    /// Its name, as its driver or the system gives it.
    pub name: String,
    /// Graphics API, e.g. `vulkan`, or `cpu`.
    pub backend: String,
    /// Discrete, integrated, virtual or software, or the processor itself.
    pub kind: &'static str,
    /// Driver and its version, or what the twins use of the processor.
    pub driver: String,
}

impl std::fmt::Display for DeviceSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, backend, kind, driver } = self;
        // Of a GPU's driver the API says enough; the processor has no name of its own.
        if backend == CPU {
            write!(f, "{name} ({driver})")
        } else {
            write!(f, "{name} ({backend}, {kind})")
        }
    }
}

/// Memory of a device.
pub enum Buffer {
    /// On a graphics adapter.
    #[cfg(feature = "gpu")]
    Gpu(gpu::Buffer),
    /// The processor's.
    #[cfg(feature = "cpu")]
    Cpu(Arc<cpu::Buffer>),
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(buffer) => buffer.bytes(),
            #[cfg(feature = "cpu")]
            Self::Cpu(buffer) => buffer.bytes(),
        }
    }

    /// The buffer on a graphics adapter.
    ///
    /// # Panics
    /// If it is another device's.
    #[cfg(feature = "gpu")]
    pub(super) fn on_gpu(&self) -> &gpu::Buffer {
        match self {
            Self::Gpu(buffer) => buffer,
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => panic!("a buffer of the processor's on a GPU"),
        }
    }

    /// The processor's buffer.
    ///
    /// # Panics
    /// If it is another device's.
    #[cfg(feature = "cpu")]
    pub(super) fn on_cpu(&self) -> &Arc<cpu::Buffer> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => panic!("a GPU's buffer on the processor"),
            Self::Cpu(buffer) => buffer,
        }
    }
}

#[cfg(feature = "gpu")]
impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(gpu)
    }
}

#[cfg(feature = "cpu")]
impl From<Cpu> for Device {
    fn from(cpu: Cpu) -> Self {
        Self::Cpu(cpu)
    }
}

impl Device {
    /// What is known of it.
    pub fn summary(&self) -> DeviceSummary {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => {
                let gpu::AdapterSummary { name, backend, kind, driver, .. } = gpu.adapter().clone();
                DeviceSummary { name, backend, kind, driver }
            }
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => DeviceSummary {
                name: "CPU".to_owned(),
                backend: CPU.to_owned(),
                kind: "CPU",
                driver: cpu::describe(),
            },
        }
    }

    /// The GPU that it is, if it is one.
    #[cfg(feature = "gpu")]
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => None,
        }
    }

    /// What programs for this device are recorded for.
    pub fn target(&self) -> KernelTarget {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.target(),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => crate::kernels::Processor::Cpu.into(),
        }
    }

    /// Chooses the tiles of matrix products in programs that are recorded from now on; twins have none to choose.
    #[cfg(feature = "gpu")]
    pub fn set_products(&self, products: Products) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.set_products(products),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => (),
        }
    }

    /// Lets the products and the attention of a recording be measured, where somebody waits for such (natively see
    /// `Gpu::on_products`; in browsers they are measured later); says whether they are divided in another way now.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    #[cfg(feature = "gpu")]
    pub fn choose_products(&self, recorder: &Recorder) -> Result<bool> {
        let Some(gpu) = self.gpu() else { return Ok(false) };
        #[cfg(not(target_family = "wasm"))]
        {
            let before = gpu.products();
            gpu.choose_products(recorder.shapes(), recorder.differentiates())?;
            Ok(gpu.products() != before)
        }
        #[cfg(target_family = "wasm")]
        {
            gpu.note_products(recorder.shapes());
            Ok(false)
        }
    }

    /// Checks that kernels can keep values in `precision`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the device has not what it takes.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.check_precision(precision),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) if precision == Precision::F16 && !cfg!(feature = "native") => {
                // It would only be slower.
                Err(Error::config(Setting::Precision, "f16 needs a GPU here; take f32"))
            }
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => Ok(()),
        }
    }

    /// Whether what is submitted runs later, so that reading its results at once waits for it.
    pub fn runs_behind(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => true,
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => false,
        }
    }

    /// Largest range that a kernel can bind, in bytes.
    pub fn max_binding(&self) -> u64 {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.max_binding(),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => cpu::MAX_BINDING,
        }
    }

    /// Bytes in buffers that are alive on this device.
    pub fn allocated_bytes(&self) -> u64 {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.allocated_bytes(),
            #[cfg(feature = "cpu")]
            Self::Cpu(cpu) => cpu.allocated_bytes(),
        }
    }

    /// A zeroed buffer for kernels, upload and readback.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] over the device's limit, [`crate::Error::OutOfMemory`].
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.buffer(label, bytes).map(Buffer::Gpu),
            #[cfg(feature = "cpu")]
            Self::Cpu(cpu) => match cpu.buffer(bytes) {
                Some(buffer) => Ok(Buffer::Cpu(Arc::new(buffer))),
                None => Err(Error::OutOfMemory {
                    problem: format!("{label} takes {bytes} bytes, which the system does not give"),
                    remedies: Vec::new(),
                }),
            },
        }
    }

    /// Writes `data` at byte `offset` before the next run.
    pub fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.write(buffer.on_gpu(), offset, data),
            #[cfg(feature = "cpu")]
            Self::Cpu(cpu) => cpu.write(buffer.on_cpu(), offset, data),
        }
    }

    /// Reads `bytes` bytes from byte `offset` after all submitted work.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    pub async fn read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.read(buffer.on_gpu(), offset, bytes).await,
            #[cfg(feature = "cpu")]
            Self::Cpu(cpu) => Ok(cpu.read(buffer.on_cpu(), offset, bytes)),
        }
    }

    /// Returns the first error that the device reported on its own, if any. A lost device reports its loss every
    /// time.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], [`crate::Error::DeviceLost`], or [`crate::Error::Device`] for a fault in this
    /// program.
    pub fn check(&self) -> Result<()> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.check(),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => Ok(()),
        }
    }

    /// Whether the device is lost, so that only a new one can go on.
    pub fn is_lost(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.is_lost(),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => false,
        }
    }

    /// Declares the kernels of a recording, so that they can be compiled before its program is built.
    pub fn declare(&self, recorder: &Recorder) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => recorder.kernels().for_each(|kernel| drop(gpu.declare(kernel))),
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => {
                let _ = recorder;
            }
        }
    }

    /// Compiles the kernels of the programs built so far, while the page does other work. Calls `progress` with how
    /// many are done and how many there are, if there are any.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    #[cfg(target_family = "wasm")]
    pub async fn compile(&self, progress: impl Fn(usize, usize)) -> Result<()> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.compile(progress).await,
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => {
                drop(progress);
                Ok(())
            }
        }
    }
}
