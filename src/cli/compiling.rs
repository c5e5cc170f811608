//! How many kernels are compiled, where the driver takes its time.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::counter::Counter;

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Kernels that are being compiled.
struct Wait {
    began: Instant,
    counter: Option<Counter>,
}

/// Counts the kernels of [`crate::gpu::Device::on_compile`].
pub(super) fn counter() -> impl Fn(usize, usize) + Send + Sync {
    let waiting = Mutex::new(None);
    move |done, total| {
        let mut waiting = waiting.lock().unwrap();
        let begin = || Wait { began: Instant::now(), counter: None };
        let Wait { began, counter } = waiting.get_or_insert_with(begin);
        if began.elapsed() >= PATIENCE {
            counter.get_or_insert_with(|| Counter::new(total, "kernels compiled")).show(done);
        }
        if done == total {
            if let Some(counter) = counter {
                counter.finish();
            }
            *waiting = None;
        }
    }
}
