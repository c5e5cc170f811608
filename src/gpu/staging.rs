//! Mapped memory through which data reaches the device: whoever prepares the data copies it there, and the
//! thread that submits a step touches none of it.
//!
//! Not for browsers: their one thread would make the same copy here as in `writeBuffer`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use pollster::block_on;

use super::pending_map::PendingMap;
use super::{Buffer, Gpu};
use crate::error::{Error, Result};
use crate::kernels::STAGING_BUFFERS;

/// A ring of buffers that are mapped, filled, copied from by the device and mapped again.
pub struct Staging {
    gpu: Gpu,
    bytes: u64,
    buffers: Vec<Arc<Buffer>>,
    used: Receiver<Used>,
    home: Sender<Used>,
}

/// Data that waits for its copy to the device. Its buffer goes back to the ring afterwards.
pub struct Staged {
    buffer: Arc<Buffer>,
    bytes: u64,
    index: usize,
    submission: Option<wgpu::SubmissionIndex>,
    home: Sender<Used>,
}

/// A buffer of the ring, by number, and the submission that copies from it, if any does.
struct Used {
    index: usize,
    submission: Option<wgpu::SubmissionIndex>,
}

impl Staging {
    /// A ring for data of at most `bytes` bytes; its [`STAGING_BUFFERS`] buffers are made as they are needed.
    pub fn new(gpu: &Gpu, bytes: u64) -> Self {
        let (home, used) = channel();
        Self { gpu: gpu.clone(), bytes, buffers: Vec::new(), used, home }
    }

    /// Copies `data`, of whole words, into the next buffer of the ring; waits until the device is done with it.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] over the device's buffer limit, [`Error::OutOfMemory`], [`Error::DeviceLost`] or
    /// [`Error::Device`] if it failed.
    pub fn stage(&mut self, data: &[u8]) -> Result<Staged> {
        let index = self.next_mapped()?;
        let buffer = Arc::clone(&self.buffers[index]);
        let bytes = data.len() as u64;
        match buffer.raw.get_mapped_range_mut(0..bytes) {
            Ok(mut view) => view.copy_from_slice(data),
            Err(e) => {
                let problem = format!("writing to staging memory: {e}");
                return Err(self.failure(Error::Device { problem }));
            }
        }
        buffer.raw.unmap();
        Ok(Staged { buffer, bytes, index, submission: None, home: self.home.clone() })
    }

    /// The number of a buffer that is mapped: a new one, or the one that came home first.
    fn next_mapped(&mut self) -> Result<usize> {
        if self.buffers.len() < STAGING_BUFFERS {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            self.buffers.push(Arc::new(self.gpu.buffer_for("staging", self.bytes, usage)?));
            return Ok(self.buffers.len() - 1);
        }
        let Used { index, submission } = self.used.recv().expect("the ring itself keeps a sender");
        let Buffer { raw, bytes, .. } = &*self.buffers[index];
        let mapping = PendingMap::request(raw, wgpu::MapMode::Write, *bytes, submission);
        block_on(mapping.finish(&self.gpu)).map_err(|e| self.failure(e))?;
        Ok(index)
    }

    fn failure(&self, error: Error) -> Error {
        // What went wrong on the device says more than the copy that failed for it; a loss is told when asked.
        let _ = self.gpu.inner.device.poll(wgpu::PollType::Poll);
        self.gpu.check().err().unwrap_or(error)
    }
}

impl Staged {
    /// Encodes the copy to the start of `target`.
    pub(super) fn encode_copy(&self, encoder: &mut wgpu::CommandEncoder, target: &Buffer) {
        encoder.copy_buffer_to_buffer(&self.buffer.raw, 0, &target.raw, 0, self.bytes);
    }

    /// Lets the buffer be used again after `submission`, which copies from it.
    pub(super) fn release_after(mut self, submission: wgpu::SubmissionIndex) {
        self.submission = Some(submission);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let used = Used { index: self.index, submission: self.submission.take() };
        // The ring may be gone.
        let _ = self.home.send(used);
    }
}
