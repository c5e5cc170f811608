//! The processor as a device: memory, and the launches that run there.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use multiversion::target::match_target;

use crate::error::{Error, Result};
use crate::kernels::{Precision, Span};
use crate::setting::Setting;

/// Bytes of the largest tensor: kernels count values in 32 bits.
pub const MAX_BINDING: u64 = 4 << 32;

/// Bytes that buffers begin at a multiple of: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;

/// The processor. Cheap to clone; the clones share it.
#[derive(Clone, Default)]
pub struct Cpu {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    allocated: Arc<AtomicU64>,
    /// Held while buffers are written or read, so that programs that share them run one after the other.
    turn: Mutex<()>,
}

/// Memory of a device.
pub struct Buffer {
    lines: UnsafeCell<Box<[Line]>>,
    bytes: u64,
    allocated: Arc<AtomicU64>,
}

/// What memory is made of.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

// SAFETY: its memory is touched by whoever has the device's turn alone.
unsafe impl Sync for Buffer {}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.allocated.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Buffer {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes` bytes from byte `first` on.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub(super) fn span(&self, first: u64, bytes: u64) -> Span {
        assert!(first + bytes <= self.bytes, "{bytes} bytes from {first} of {}", self.bytes);
        // SAFETY: the box itself never changes; only what it holds does.
        let lines = unsafe { &mut *self.lines.get() };
        let start: *mut u8 = lines.as_mut_ptr().cast();
        Span::new(unsafe { start.add(first as usize) }, bytes as usize)
    }
}

/// What the twins use of the processor, in words.
pub fn describe() -> String {
    let threads = super::parallel::threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, instructions())
}

vectorised! {
/// The instruction set that is chosen.
fn instructions() -> &'static str {
    match_target! {
        "x86_64+avx512f" => "AVX-512",
        "x86_64+avx2+fma" => "AVX2",
        "aarch64+neon" => "NEON",
        "wasm32+simd128" => "SIMD128",
        _ => "plain instructions",
    }
}
}

impl Cpu {
    /// Checks that kernels can keep values in `precision`.
    ///
    /// # Errors
    /// [`Error::Config`] for f16 in a browser, where it would only be slower.
    pub fn check_precision(&self, precision: Precision) -> Result<()> {
        if precision == Precision::F32 || cfg!(feature = "native") {
            return Ok(());
        }
        Err(Error::config(Setting::Precision, "f16 needs a GPU here; take f32"))
    }

    /// A zeroed buffer.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system has not that much.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let bytes = bytes.max(4).next_multiple_of(4);
        let lines = usize::try_from(bytes).ok().map(|bytes| bytes.div_ceil(ALIGNMENT));
        let lines = lines.and_then(|n| bytemuck::try_zeroed_slice_box(n).ok());
        let problem = || format!("{label} takes {bytes} bytes, which the system does not give");
        let lines =
            lines.ok_or_else(|| Error::OutOfMemory { problem: problem(), remedies: Vec::new() })?;
        let allocated = Arc::clone(&self.inner.allocated);
        allocated.fetch_add(bytes, Ordering::Relaxed);
        Ok(Buffer { lines: UnsafeCell::new(lines), bytes, allocated })
    }

    /// Bytes in buffers that are alive on this device.
    pub fn allocated_bytes(&self) -> u64 {
        self.inner.allocated.load(Ordering::Relaxed)
    }

    /// Writes `data` at byte `offset`.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        let _turn = self.turn();
        let span = buffer.span(offset, data.len() as u64);
        // SAFETY: it is our turn.
        unsafe { span.slice_mut::<u8>() }.copy_from_slice(data);
    }

    /// Reads `bytes` bytes from byte `offset`.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub fn read(&self, buffer: &Buffer, offset: u64, bytes: u64) -> Vec<u8> {
        let _turn = self.turn();
        // SAFETY: it is our turn.
        unsafe { buffer.span(offset, bytes).slice::<u8>() }.to_vec()
    }

    /// Waits until nobody else touches buffers.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        // What a panicking kernel left half written is no worse than wrong numbers.
        self.inner.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
