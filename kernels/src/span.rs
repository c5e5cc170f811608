//! Memory that a CPU twin works on.

use bytemuck::Pod;

/// A range of a buffer, of whole values: what a launch binds.
///
/// The twins' slices are made of it. Whoever makes them sees to it that while they live nobody else writes what they
/// read, or touches what they write.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    first: *mut u8,
    bytes: usize,
}

// SAFETY: a span is an address; using it is what is unsafe.
unsafe impl Send for Span {}
unsafe impl Sync for Span {}

impl Span {
    /// `bytes` bytes from `first` on, which is aligned for every kind of value.
    pub fn new(first: *mut u8, bytes: usize) -> Self {
        Self { first, bytes }
    }

    /// # Safety
    /// Nobody writes there while the slice lives.
    pub(crate) unsafe fn slice<'a, T: Pod>(self) -> &'a [T] {
        unsafe { std::slice::from_raw_parts(self.first.cast(), self.bytes / size_of::<T>()) }
    }

    /// # Safety
    /// Nobody else reads or writes there while the slice lives.
    pub(crate) unsafe fn slice_mut<'a, T: Pod>(self) -> &'a mut [T] {
        unsafe { std::slice::from_raw_parts_mut(self.first.cast(), self.bytes / size_of::<T>()) }
    }

    /// The structure there.
    ///
    /// # Safety
    /// As for [`Self::slice`].
    pub(crate) unsafe fn one<'a, T: Pod>(self) -> &'a T {
        assert!(self.bytes >= size_of::<T>(), "a structure of {} bytes", size_of::<T>());
        unsafe { &*self.first.cast() }
    }

    /// # Safety
    /// As for [`Self::slice_mut`].
    pub(crate) unsafe fn one_mut<'a, T: Pod>(self) -> &'a mut T {
        assert!(self.bytes >= size_of::<T>(), "a structure of {} bytes", size_of::<T>());
        unsafe { &mut *self.first.cast() }
    }
}
