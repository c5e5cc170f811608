//! What a launch binds, for looking at it.

use std::sync::Arc;

use super::device::{Buffer, Device};
use crate::error::Result;
use crate::kernels::Precision;

/// A range that a launch binds.
pub(super) struct Bound {
    pub label: String,
    pub buffer: Arc<Buffer>,
    pub first: u64,
    pub bytes: u64,
    pub writes: bool,
    /// None for indices and structures.
    pub precision: Option<Precision>,
}

impl Bound {
    /// Its bytes, in whole words.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn read(&self, device: &Device) -> Result<Vec<u8>> {
        device.read(&self.buffer, self.first, self.bytes.next_multiple_of(4)).await
    }
}
