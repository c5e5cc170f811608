//! Data on its way to a device and back.

use super::device::{Buffer, Device};
#[cfg(feature = "cpu")]
use crate::cpu;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu;

/// Brings results to the host, again and again, without stopping the device.
pub enum ReadBack {
    /// By way of a staging buffer.
    #[cfg(feature = "gpu")]
    Gpu(gpu::ReadBack),
    /// As they are when the copy starts, until it is finished.
    #[cfg(feature = "cpu")]
    Cpu(cpu::Cpu, Option<Vec<u8>>),
}

impl ReadBack {
    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] over the device's buffer limit.
    pub fn new(device: &Device, bytes: u64) -> Result<Self> {
        match device {
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu::ReadBack::new(gpu, bytes).map(Self::Gpu),
            #[cfg(feature = "cpu")]
            Device::Cpu(cpu) => {
                let _ = bytes;
                Ok(Self::Cpu(cpu.clone(), None))
            }
        }
    }

    /// Copies a range after all submitted work; returns at once.
    ///
    /// # Panics
    /// If the previous readback was not finished.
    pub fn start(&mut self, buffer: &Buffer, offset: u64, bytes: u64) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(copy) => copy.start(buffer.on_gpu(), offset, bytes),
            #[cfg(feature = "cpu")]
            Self::Cpu(cpu, copy) => {
                assert!(copy.is_none(), "a readback is under way");
                *copy = Some(cpu.read(buffer.on_cpu(), offset, bytes));
            }
        }
    }

    /// Whether something was started and not finished.
    pub fn is_pending(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(copy) => copy.is_pending(),
            #[cfg(feature = "cpu")]
            Self::Cpu(_, copy) => copy.is_some(),
        }
    }

    /// Waits for the data of the last [`Self::start`], not for work submitted after it.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed meanwhile.
    ///
    /// # Panics
    /// If nothing was started.
    pub async fn finish(&mut self) -> Result<Vec<u8>> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(copy) => copy.finish().await,
            #[cfg(feature = "cpu")]
            Self::Cpu(_, copy) => Ok(copy.take().expect("a readback under way")),
        }
    }
}

/// Memory through which data reaches the device ahead of its step.
#[cfg(feature = "native")]
pub enum Staging {
    /// Mapped memory.
    Gpu(gpu::Staging),
    /// Memory like any other.
    Cpu(cpu::Staging),
}

/// Data that waits for its copy to the device.
#[cfg(feature = "native")]
pub enum Staged {
    /// In mapped memory.
    Gpu(gpu::Staged),
    /// In memory like any other.
    Cpu(cpu::Staged),
}

#[cfg(feature = "native")]
impl Staging {
    /// A ring for data of at most `bytes` bytes; its buffers are made as they are needed.
    pub fn new(device: &Device, bytes: u64) -> Self {
        match device {
            Device::Gpu(gpu) => Self::Gpu(gpu::Staging::new(gpu, bytes)),
            Device::Cpu(_) => Self::Cpu(cpu::Staging::default()),
        }
    }

    /// Copies `data`, of whole words, into the next buffer of the ring; waits until the device is done with it.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] over the device's buffer limit, [`crate::Error::OutOfMemory`],
    /// [`crate::Error::DeviceLost`] or [`crate::Error::Device`] if it failed.
    pub fn stage(&mut self, data: &[u8]) -> Result<Staged> {
        match self {
            Self::Gpu(staging) => staging.stage(data).map(Staged::Gpu),
            Self::Cpu(staging) => Ok(Staged::Cpu(staging.stage(data))),
        }
    }
}
