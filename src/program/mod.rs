//! A step is a program, recorded once: ops append dispatches to a [`Recorder`], its tape yields the
//! backward pass, [`Plan`] shares memory by liveness, and [`Program`] is the result on a device,
//! run again and again without creating anything.

mod plan;
mod recompute;
mod recorder;
mod timing;

use std::collections::HashMap;
use std::sync::Arc;

pub use plan::Plan;
use recorder::Place;
pub use recorder::{Recorder, Tensor};
pub use timing::DispatchTime;
use timing::Work;

use crate::error::Result;
#[cfg(feature = "native")]
use crate::gpu::Staged;
use crate::gpu::shaders::{Element, Shader};
use crate::gpu::{Buffer, CommandList, Dispatch, Gpu, Precision};

/// Buffers by label, shared between programs (parameters, optimiser state).
pub type Buffers = HashMap<String, Arc<Buffer>>;

/// A recorded program on a device.
pub struct Program {
    gpu: Gpu,
    list: CommandList,
    plan: Plan,
    externals: Buffers,
    /// One per dispatch.
    steps: Vec<Step>,
}

struct Step {
    kernel: &'static str,
    work: Work,
    writes: Vec<Written>,
}

struct Written {
    label: String,
    buffer: Arc<Buffer>,
    first: u64,
    bytes: u64,
    /// None for indices.
    precision: Option<Precision>,
}

impl Program {
    /// Allocates memory, compiles kernels and makes bind groups. External buffers are taken from
    /// `shared` by label where they are there, else created.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`] with the numbers.
    ///
    /// # Panics
    /// If a shared buffer is smaller than the recording says.
    pub fn build(gpu: &Gpu, recorder: &Recorder, shared: &Buffers) -> Result<Self> {
        let plan = Plan::new(recorder, gpu.max_binding())?;
        let mut externals = Buffers::new();
        for external in &recorder.externals {
            let buffer = match shared.get(&external.label) {
                Some(buffer) => Arc::clone(buffer),
                None => Arc::new(gpu.buffer(&external.label, external.bytes)?),
            };
            assert!(buffer.bytes() >= external.bytes, "{} is too small", external.label);
            externals.insert(external.label.clone(), buffer);
        }
        let slots = plan.slots.iter().map(|&n| gpu.buffer("activations", n).map(Arc::new));
        let slots: Vec<Arc<Buffer>> = slots.collect::<Result<_>>()?;
        gpu.check()?;
        let range = |tensor: Tensor| -> (&Arc<Buffer>, u64, u64) {
            let info = &recorder.tensors[tensor.0];
            // Bindings are whole words.
            let bytes = info.bytes().max(4).next_multiple_of(4);
            match info.place {
                Place::External { buffer, first } => {
                    let first = info.precision.bytes() * first as u64;
                    (&externals[&recorder.externals[buffer].label], first, bytes)
                }
                Place::Transient => {
                    (&slots[plan.slot_of[tensor.0].expect("planned: it is bound")], 0, bytes)
                }
            }
        };
        let bound = |tensor: Tensor| -> (&Buffer, u64, u64) {
            let (buffer, first, bytes) = range(tensor);
            (buffer, first, bytes)
        };
        let dispatches: Vec<Dispatch<'_>> = recorder
            .recorded
            .iter()
            .map(|op| Dispatch {
                kernel: op.kernel.clone(),
                uniform: &op.uniform,
                bindings: op.bindings.iter().map(|&tensor| bound(tensor)).collect(),
                groups: op.groups,
            })
            .collect();
        let cleared: Vec<_> = recorder.cleared.iter().map(|&tensor| bound(tensor)).collect();
        let list = CommandList::new(gpu, &dispatches, &cleared)?;
        let steps = recorder.recorded.iter().map(|op| Step {
            kernel: op.kernel.shader,
            work: Work::of(recorder, op),
            writes: op
                .accesses()
                .zip(Shader::named(op.kernel.shader).elements)
                .filter(|&((_, writes), _)| writes)
                .map(|((tensor, _), &element)| {
                    let info = &recorder.tensors[tensor.0];
                    let (buffer, first, _) = range(tensor);
                    let label = if op.scope.is_empty() || info.label.contains(&op.scope) {
                        info.label.clone()
                    } else {
                        format!("{} ({})", info.label, op.scope)
                    };
                    let precision = (element != Element::Word).then_some(info.precision);
                    let bytes = info.bytes();
                    Written { label, buffer: Arc::clone(buffer), first, bytes, precision }
                })
                .collect(),
        });
        let steps = steps.collect();
        Ok(Self { gpu: gpu.clone(), list, plan, externals, steps })
    }

    /// The memory plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.list.len()
    }

    /// Runs the whole program in one submission; returns at once.
    pub fn submit(&self) {
        Self::submit_all(&[(self, true)]);
    }

    /// Runs programs one after the other in one submission; returns at once. The flag says whether
    /// a program's cleared tensors are zeroed first.
    ///
    /// # Panics
    /// If there is no program.
    pub fn submit_all(programs: &[(&Program, bool)]) {
        CommandList::submit_all(&lists(programs));
    }

    /// The same after the copy of what was staged to the external buffer `label` of the first one.
    ///
    /// # Panics
    /// If there is no program, or the buffer is too small.
    #[cfg(feature = "native")]
    pub fn submit_with(programs: &[(&Program, bool)], staged: Staged, label: &str) {
        let (first, _) = programs.first().expect("a program to run");
        CommandList::submit_with(&lists(programs), staged, first.buffer(label));
    }

    /// The external buffer `label`.
    ///
    /// # Panics
    /// If the recording has none of that name.
    pub fn buffer(&self, label: &str) -> &Arc<Buffer> {
        self.externals.get(label).unwrap_or_else(|| panic!("no buffer {label}"))
    }

    /// Uploads words to the external buffer `label` before the next run.
    pub fn write<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) {
        self.gpu.write(self.buffer(label), 0, bytemuck::cast_slice(data));
    }

    /// Reads the external buffer `label` after the runs submitted so far.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn read<T: bytemuck::Pod>(&self, label: &str) -> Result<Vec<T>> {
        let buffer = self.buffer(label);
        let bytes = self.gpu.read(buffer, 0, buffer.bytes()).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Runs the program once and returns the time of every dispatch, in order; `None` where the adapter
    /// has no timestamps.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn time(&self) -> Result<Option<Vec<DispatchTime>>> {
        let Some(times) = self.list.time().await? else { return Ok(None) };
        let with_work = |(i, (step, nanoseconds)): (usize, (&Step, f64))| DispatchTime {
            kernel: step.kernel,
            computes: step.writes.first().map_or_else(String::new, |w| w.label.clone()),
            sizes: step.work.sizes.clone(),
            nanoseconds,
            flops: step.work.flops,
            bytes: step.work.bytes,
            copied_bytes: self.list.copied_bytes(i),
        };
        Ok(Some(self.steps.iter().zip(times).enumerate().map(with_work).collect()))
    }

    /// Runs the program dispatch by dispatch and returns the label of the first tensor that is
    /// written with a value that is not finite. Slow: for a diagnosis after the fact.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn first_non_finite(&self) -> Result<Option<String>> {
        for (i, step) in self.steps.iter().enumerate() {
            self.list.submit_range(i..i + 1, i == 0);
            for written in &step.writes {
                // Index maps hold marks whose bits would read as NaN.
                let Some(precision) = written.precision else { continue };
                let bytes = self.gpu.read(&written.buffer, written.first, written.bytes).await?;
                if has_non_finite(&bytes[..written.bytes as usize], precision) {
                    return Ok(Some(written.label.clone()));
                }
            }
        }
        Ok(None)
    }
}

fn lists<'a>(programs: &[(&'a Program, bool)]) -> Vec<(&'a CommandList, bool)> {
    programs.iter().map(|&(program, clear)| (&program.list, clear)).collect()
}

fn has_non_finite(bytes: &[u8], precision: Precision) -> bool {
    match precision {
        Precision::F32 => {
            bytemuck::pod_collect_to_vec::<u8, f32>(bytes).iter().any(|x| !x.is_finite())
        }
        Precision::F16 => {
            bytemuck::pod_collect_to_vec::<u8, half::f16>(bytes).iter().any(|x| !x.is_finite())
        }
    }
}
