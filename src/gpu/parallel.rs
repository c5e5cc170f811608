//! Compiling on an operating system: on every core at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Gpu;

impl Gpu {
    /// Calls `listener` whenever kernels are compiled: before the first of a program and after each, one
    /// call after the other, with how many are done and how many there are. The first listener stays.
    pub fn on_compile(&self, listener: impl Fn(usize, usize) + Send + Sync + 'static) {
        // A second one would be a second bar on the same terminal.
        let _ = self.inner.on_compile.set(Box::new(listener));
    }

    /// Compiles the kernels that were declared.
    pub(super) fn compile(&self) {
        let kernels = self.uncompiled();
        if kernels.is_empty() {
            return;
        }
        let report = |done: usize| {
            if let Some(listener) = self.inner.on_compile.get() {
                listener(done, kernels.len());
            }
        };
        report(0);
        let (next, done) = (AtomicUsize::new(0), Mutex::new(0));
        let work = || {
            while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.pipeline(kernel);
                let mut done = done.lock().unwrap();
                *done += 1;
                report(*done);
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 1..cores.min(kernels.len()) {
                scope.spawn(work);
            }
            work();
        });
    }
}
