//! Reading results back without stopping the device.

use super::pending_map::PendingMap;
use super::{Buffer, Gpu};
use crate::error::{Error, Result};

/// A staging buffer that brings results to the host, used again and again.
pub struct ReadBack {
    gpu: Gpu,
    staging: Buffer,
    pending: Option<(u64, PendingMap)>,
}

impl ReadBack {
    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] over the device's buffer limit.
    pub fn new(gpu: &Gpu, bytes: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer_for("readback", bytes, usage)?;
        Ok(Self { gpu: gpu.clone(), staging, pending: None })
    }

    /// Copies a range after all submitted work and begins to map it; returns at once.
    ///
    /// # Panics
    /// If the previous readback was not finished.
    pub fn start(&mut self, buffer: &Buffer, offset: u64, bytes: u64) {
        assert!(self.pending.is_none(), "a readback is under way");
        let inner = &self.gpu.inner;
        let bytes = bytes.next_multiple_of(4);
        let mut encoder = inner.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&buffer.raw, offset, &self.staging.raw, 0, bytes);
        let submission = Some(inner.queue.submit([encoder.finish()]));
        let mapping =
            PendingMap::request(&self.staging.raw, wgpu::MapMode::Read, bytes, submission);
        self.pending = Some((bytes, mapping));
    }

    /// Whether something was started and not finished.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Waits for the data of the last [`Self::start`], not for work submitted after it.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed meanwhile.
    ///
    /// # Panics
    /// If nothing was started.
    pub async fn finish(&mut self) -> Result<Vec<u8>> {
        let (bytes, mapping) = self.pending.take().expect("a readback under way");
        let mapped = mapping.finish(&self.gpu).await;
        // What went wrong on the device says more than the copy that failed for it.
        self.gpu.check()?;
        mapped?;
        let data = {
            let view = self.staging.raw.get_mapped_range(0..bytes);
            let failed = |e| Error::Device { problem: format!("reading results: {e}") };
            view.map_err(failed)?.to_vec()
        };
        self.staging.raw.unmap();
        Ok(data)
    }
}
