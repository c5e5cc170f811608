//! Running launches: a list made once, run any number of times.

use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "native")]
use half::f16;
use web_time::Instant;

use super::parallel::on_all_cores;
use super::{Buffer, Cpu};
use crate::{ConstantList, KernelKey, Precision, Shader, Span};

/// One launch before its twin is found.
pub struct Dispatch<'a> {
    /// What runs.
    pub kernel: &'a KernelKey,
    /// Words of the kernel's `Params`.
    pub uniform: &'a [u32],
    /// Bindings from 1 on: buffer, first byte, bytes.
    pub bindings: Vec<(&'a Arc<Buffer>, u64, u64)>,
}

/// Launches with everything they need.
pub struct CommandList {
    cpu: Cpu,
    /// Keeps the memory alive that the twins work on.
    _buffers: Vec<Arc<Buffer>>,
    /// Zeroed before the first launch.
    cleared: Vec<Span>,
    launches: Vec<Twin>,
}

/// A launch, ready to run.
type Twin = Box<dyn Fn() + Send + Sync>;

impl CommandList {
    /// Finds every launch's twin. `cleared` ranges (buffer, first byte, bytes) are zeroed at the start of every run.
    pub fn new(
        cpu: &Cpu,
        dispatches: &[Dispatch<'_>],
        cleared: &[(&Arc<Buffer>, u64, u64)],
    ) -> Self {
        let bound = dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
        let buffers = bound.chain(cleared).map(|(buffer, _, _)| Arc::clone(buffer)).collect();
        let span = |&(buffer, first, bytes): &(&Arc<Buffer>, u64, u64)| buffer.span(first, bytes);
        let launches = dispatches.iter().map(|dispatch| {
            let spans = dispatch.bindings.iter().map(span).collect();
            // SAFETY: the list keeps the memory alive, a launch writes nothing that it binds elsewhere, and runs
            // take turns.
            unsafe { twin(dispatch.kernel, dispatch.uniform, spans) }
        });
        Self {
            cpu: cpu.clone(),
            _buffers: buffers,
            cleared: cleared.iter().map(span).collect(),
            launches: launches.collect(),
        }
    }

    /// Runs some of the launches, the clearing before them if `clear`; returns when they are done.
    pub fn run(&self, range: Range<usize>, clear: bool) {
        let _turn = self.cpu.turn();
        on_all_cores(|| {
            if clear {
                self.clear();
            }
            self.launches[range].iter().for_each(|launch| launch());
        });
    }

    /// Runs everything once and returns each launch's time in nanoseconds.
    pub fn time(&self) -> Vec<f64> {
        let _turn = self.cpu.turn();
        let time = |launch: &Twin| {
            let began = Instant::now();
            launch();
            began.elapsed().as_secs_f64() * 1e9
        };
        on_all_cores(|| {
            self.clear();
            self.launches.iter().map(time).collect()
        })
    }

    fn clear(&self) {
        for span in &self.cleared {
            // SAFETY: whoever runs a list has the device's turn.
            unsafe { span.slice_mut::<u8>() }.fill(0);
        }
    }
}

// `twin`: from a launch to the function that does the same here.
include!(concat!(env!("OUT_DIR"), "/twins.rs"));
