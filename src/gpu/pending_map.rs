//! A buffer's memory on its way to the host.

use futures_channel::oneshot::{Receiver, channel};

use super::Gpu;
use crate::error::{Error, Result};

/// A buffer that is being mapped.
pub(super) struct PendingMap {
    submission: Option<wgpu::SubmissionIndex>,
    mapped: Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl PendingMap {
    /// Asks for the first `bytes` bytes of `buffer`, whose last use is in `submission`, or in any if that is not
    /// known; returns at once.
    pub fn request(
        buffer: &wgpu::Buffer,
        mode: wgpu::MapMode,
        bytes: u64,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Self {
        let (sender, mapped) = channel();
        buffer.map_async(mode, 0..bytes, move |result| {
            // The receiver may be gone if the program is shutting down.
            let _ = sender.send(result);
        });
        Self { submission, mapped }
    }

    /// Waits until the buffer is mapped, not for work submitted after its last use.
    ///
    /// # Errors
    /// [`Error::Device`]; what [`Gpu::check`] finds then says more.
    pub async fn finish(self, gpu: &Gpu) -> Result<()> {
        let failed = |problem: String| Error::Device { problem };
        let wait = wgpu::PollType::Wait { submission_index: self.submission, timeout: None };
        let polled = gpu.inner.device.poll(wait);
        polled.map_err(|e| failed(format!("waiting for the device: {e}")))?;
        let mapped = self.mapped.await;
        let mapped = mapped.map_err(|_| failed("the device dropped a copy".to_owned()))?;
        mapped.map_err(|e| failed(format!("mapping memory: {e}")))
    }
}
