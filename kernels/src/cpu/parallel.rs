//! Work shared among the cores: a team of threads natively, one thread in the browser.
//!
//! How work is cut never decides what is computed, only who computes it.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};

#[cfg(feature = "native")]
use super::team;

/// Elements of a cheap element-wise kernel that are worth a task of their own.
pub const GRAIN: usize = 16 * 1024;

/// Runs `work` with all cores at hand, which saves each of the twins that it calls gathering them.
pub fn on_all_cores<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(feature = "native")]
    return team::gather(work);
    #[cfg(not(feature = "native"))]
    work()
}

/// Threads that share the work.
pub fn threads() -> usize {
    #[cfg(feature = "native")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "native"))]
    1
}

/// Calls `work` with 0 to `count`, in any order.
pub fn each(count: usize, work: impl Fn(usize) + Sync) {
    #[cfg(feature = "native")]
    team::each(count, &work);
    #[cfg(not(feature = "native"))]
    (0..count).for_each(work);
}

/// Cuts `0..len` into ranges of `size`, the last one shorter, and calls `work` with each.
pub fn ranges(len: usize, size: usize, work: impl Fn(Range<usize>) + Sync) {
    each(len.div_ceil(size), |i| work(i * size..len.min((i + 1) * size)));
}

/// Rows of `width` elements that are worth a task.
pub fn rows_per_task(width: usize) -> usize {
    GRAIN.div_ceil(width.max(1))
}

/// A slice of which several threads write parts that do not overlap.
pub struct Shared<'a, T> {
    first: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts of a `&mut [T]`, each to one thread (see `part`).
unsafe impl<T: Send> Send for Shared<'_, T> {}
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), owner: PhantomData }
    }

    /// The elements from `start` on, `len` of them.
    ///
    /// # Panics
    /// If they are not all within the slice.
    ///
    /// # Safety
    /// No element may be in two parts that exist at the same time.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap")]
    #[inline(always)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "a part of the slice");
        // SAFETY: inside the slice by the assertion, and by the caller's promise nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), len) }
    }
}

thread_local! {
    /// Memory that no [`Scratch`] has at present, kept from launch to launch: fresh memory costs more than
    /// filling it.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Memory for intermediate results.
pub struct Scratch {
    memory: Vec<f32>,
    len: usize,
}

impl Scratch {
    /// `len` values of any content.
    pub fn new(len: usize) -> Self {
        // What is in use at the same time is memory of its own.
        let mut memory = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        if memory.len() < len {
            memory.resize(len, 0.0);
        }
        Self { memory, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        SPARE.with_borrow_mut(|spare| spare.push(memory));
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}
