//! A step is a program, recorded once: ops append launches to a [`Recorder`], its tape yields the
//! backward pass, [`Plan`] shares memory by liveness, and [`Program`] is the result on a [`Device`],
//! run again and again without creating anything.

mod bound;
mod compare;
#[cfg(feature = "native")]
mod counts;
mod device;
#[cfg(feature = "native")]
mod open;
mod plan;
mod recompute;
mod recorder;
mod timing;
mod transfer;
#[cfg(feature = "native")]
mod uploads;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bound::Bound;
pub use compare::Comparison;
#[cfg(feature = "native")]
pub use counts::{LaunchCounts, Operand};
pub use device::{Buffer, Device, DeviceSummary};
#[cfg(feature = "native")]
pub use open::{DeviceChoice, DeviceOptions, Opened};
pub use plan::Plan;
use recorder::Place;
pub use recorder::{Recorder, Tensor, Work};
pub use timing::DispatchTime;
use timing::LaunchWork;
pub use transfer::ReadBack;
#[cfg(feature = "native")]
pub use transfer::{Staged, Staging};
#[cfg(feature = "native")]
pub use uploads::Uploads;

#[cfg(feature = "cpu")]
use crate::cpu;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::kernels::{Element, KernelKey, KernelTarget, Precision, Shader};

/// Buffers by label, shared between programs (parameters, optimiser state).
pub type Buffers = HashMap<String, Arc<Buffer>>;

/// A recorded program on a device.
pub struct Program {
    device: Device,
    list: List,
    plan: Plan,
    externals: Buffers,
    /// One per dispatch.
    steps: Vec<Step>,
}

/// The launches, ready to run.
enum List {
    #[cfg(feature = "gpu")]
    Gpu(gpu::CommandList),
    #[cfg(feature = "cpu")]
    Cpu(cpu::CommandList),
}

/// A launch, for diagnosis.
struct Step {
    kernel: KernelKey,
    work: LaunchWork,
    bound: Vec<Bound>,
}

impl Program {
    /// Records a program for `device` and builds it. Where the device lets products be measured first, they are,
    /// and it is recorded again as suits them.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn record(
        device: &Device,
        shared: &Buffers,
        record: impl Fn(KernelTarget) -> Recorder,
    ) -> Result<Self> {
        let recorder = record(device.target());
        #[cfg(feature = "gpu")]
        let recorder =
            if device.choose_products(&recorder)? { record(device.target()) } else { recorder };
        Self::build(device, &recorder, shared)
    }

    /// Allocates memory, compiles kernels and makes bind groups. External buffers are taken from
    /// `shared` by label where they are there, else created.
    ///
    /// # Errors
    /// [`crate::Error::DoesNotFit`] or [`crate::Error::Device`] with the numbers.
    ///
    /// # Panics
    /// If a shared buffer is smaller than the recording says.
    pub fn build(device: &Device, recorder: &Recorder, shared: &Buffers) -> Result<Self> {
        let plan = Plan::new(recorder, device.max_binding())?;
        let mut externals = Buffers::new();
        for external in &recorder.externals {
            let buffer = match shared.get(&external.label) {
                Some(buffer) => Arc::clone(buffer),
                None => Arc::new(device.buffer(&external.label, external.bytes)?),
            };
            assert!(buffer.bytes() >= external.bytes, "{} is too small", external.label);
            externals.insert(external.label.clone(), buffer);
        }
        let slots = plan.slots.iter().map(|&n| device.buffer("activations", n).map(Arc::new));
        let slots: Vec<Arc<Buffer>> = slots.collect::<Result<_>>()?;
        device.check()?;
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
        let works = recorder.recorded.iter().map(|op| LaunchWork::of(recorder, op));
        let works: Vec<LaunchWork> = works.collect();
        let list = match device {
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => {
                let bound = |&tensor: &Tensor| {
                    let (buffer, first, bytes) = range(tensor);
                    (buffer.on_gpu(), first, bytes)
                };
                let dispatches: Vec<gpu::Dispatch<'_>> = recorder
                    .recorded
                    .iter()
                    .zip(&works)
                    .map(|(op, work)| gpu::Dispatch {
                        kernel: op.kernel.clone(),
                        uniform: &op.uniform,
                        bindings: op.bindings.iter().map(bound).collect(),
                        groups: op.groups,
                        cost: work.cost(),
                    })
                    .collect();
                let cleared: Vec<_> = recorder.cleared.iter().map(bound).collect();
                List::Gpu(gpu::CommandList::new(gpu, &dispatches, &cleared)?)
            }
            #[cfg(feature = "cpu")]
            Device::Cpu(cpu) => {
                let bound = |&tensor: &Tensor| {
                    let (buffer, first, bytes) = range(tensor);
                    (buffer.on_cpu(), first, bytes)
                };
                let dispatches: Vec<cpu::Dispatch<'_>> = recorder
                    .recorded
                    .iter()
                    .map(|op| cpu::Dispatch {
                        kernel: &op.kernel,
                        uniform: &op.uniform,
                        bindings: op.bindings.iter().map(bound).collect(),
                    })
                    .collect();
                let cleared: Vec<_> = recorder.cleared.iter().map(bound).collect();
                List::Cpu(cpu::CommandList::new(cpu, &dispatches, &cleared))
            }
        };
        let steps = recorder.recorded.iter().zip(works).map(|(op, work)| Step {
            kernel: op.kernel.clone(),
            work,
            bound: op
                .accesses()
                .zip(Shader::named(op.kernel.shader).bindings)
                .map(|((tensor, writes), binding)| {
                    let info = &recorder.tensors[tensor.0];
                    let (buffer, first, _) = range(tensor);
                    let label = recorder.label_in(op, tensor);
                    let precision = (binding.element != Element::Word).then_some(info.precision);
                    let (buffer, bytes) = (Arc::clone(buffer), info.bytes());
                    Bound { label, buffer, first, bytes, writes, precision }
                })
                .collect(),
        });
        let steps = steps.collect();
        Ok(Self { device: device.clone(), list, plan, externals, steps })
    }

    /// The memory plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// Runs the whole program; on a GPU returns at once. What takes long is submitted in parts.
    pub fn submit(&self) {
        Self::submit_all(&[(self, true)]);
    }

    /// Runs programs one after the other, on a GPU in one submission unless that would take long; there it returns at
    /// once. The flag says whether a program's cleared tensors are zeroed, at any time before it.
    ///
    /// # Panics
    /// If there is no program, or they are of several kinds of devices.
    pub fn submit_all(programs: &[(&Program, bool)]) {
        let (first, _) = programs.first().expect("a program to run");
        match &first.list {
            #[cfg(feature = "gpu")]
            List::Gpu(_) => gpu::CommandList::submit_all(&gpu_lists(programs)),
            #[cfg(feature = "cpu")]
            List::Cpu(_) => programs
                .iter()
                .for_each(|(program, clear)| program.run(0..program.steps.len(), *clear)),
        }
    }

    /// The same after the copy of what was staged to the external buffer `label` of the first one.
    ///
    /// # Panics
    /// If there is no program, or the buffer is too small.
    #[cfg(feature = "native")]
    pub fn submit_with(programs: &[(&Program, bool)], staged: Staged, label: &str) {
        let (first, _) = programs.first().expect("a program to run");
        match staged {
            Staged::Gpu(staged) => {
                let target = first.buffer(label).on_gpu();
                gpu::CommandList::submit_with(&gpu_lists(programs), staged, target);
            }
            Staged::Cpu(staged) => {
                let Device::Cpu(cpu) = &first.device else { panic!("staged for another device") };
                staged.copy_to(cpu, first.buffer(label).on_cpu());
                Self::submit_all(programs);
            }
        }
    }

    /// Runs some of the launches, the clearing included if `clear`.
    fn run(&self, range: Range<usize>, clear: bool) {
        match &self.list {
            #[cfg(feature = "gpu")]
            List::Gpu(list) => list.submit_range(range, clear),
            #[cfg(feature = "cpu")]
            List::Cpu(list) => list.run(range, clear),
        }
    }

    /// The external buffer `label`.
    ///
    /// # Panics
    /// If the recording has none of that name.
    pub fn buffer(&self, label: &str) -> &Arc<Buffer> {
        self.externals.get(label).unwrap_or_else(|| panic!("no buffer {label}"))
    }

    /// Whether there is an external buffer `label`.
    pub fn has_buffer(&self, label: &str) -> bool {
        self.externals.contains_key(label)
    }

    /// Uploads words to the external buffer `label` before the next run.
    pub fn write<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) {
        self.device.write(self.buffer(label), 0, bytemuck::cast_slice(data));
    }

    /// Reads the external buffer `label` after the runs submitted so far.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn read<T: bytemuck::Pod>(&self, label: &str) -> Result<Vec<T>> {
        let buffer = self.buffer(label);
        let bytes = self.device.read(buffer, 0, buffer.bytes()).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Waits for the runs submitted so far.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn wait(&self) -> Result<()> {
        let buffer = self.externals.values().next().expect("a program leaves something behind");
        self.device.read(buffer, 0, 4).await.map(drop)
    }

    /// Runs the program once and returns the time of every dispatch, in order; `None` where the adapter
    /// has no timestamps.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn time(&self) -> Result<Option<Vec<DispatchTime>>> {
        let times = match &self.list {
            #[cfg(feature = "gpu")]
            List::Gpu(list) => list.time().await?,
            #[cfg(feature = "cpu")]
            List::Cpu(list) => Some(list.time()),
        };
        let Some(times) = times else { return Ok(None) };
        let with_work = |(step, nanoseconds): (&Step, f64)| DispatchTime {
            kernel: step.kernel.shader,
            computes: step.written().next().map_or_else(String::new, |w| w.label.clone()),
            sizes: step.work.sizes.clone(),
            nanoseconds,
            flops: step.work.flops,
            bytes: step.work.bytes,
        };
        Ok(Some(self.steps.iter().zip(times).map(with_work).collect()))
    }

    /// Runs the program dispatch by dispatch and returns the label of the first tensor that is
    /// written with a value that is not finite. Slow: for a diagnosis after the fact.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn first_non_finite(&self) -> Result<Option<String>> {
        for (i, step) in self.steps.iter().enumerate() {
            self.run(i..i + 1, i == 0);
            for written in step.written() {
                // Index maps hold marks whose bits would read as NaN.
                let Some(precision) = written.precision else { continue };
                let bytes = written.read(&self.device).await?;
                if has_non_finite(&bytes[..written.bytes as usize], precision) {
                    return Ok(Some(written.label.clone()));
                }
            }
        }
        Ok(None)
    }
}

impl Step {
    fn written(&self) -> impl Iterator<Item = &Bound> {
        self.bound.iter().filter(|bound| bound.writes)
    }
}

#[cfg(feature = "gpu")]
fn gpu_lists<'a>(programs: &[(&'a Program, bool)]) -> Vec<(&'a gpu::CommandList, bool)> {
    let list = |program: &'a Program| match &program.list {
        List::Gpu(list) => list,
        #[cfg(feature = "cpu")]
        List::Cpu(_) => panic!("programs of several kinds of devices"),
    };
    programs.iter().map(|&(program, clear)| (list(program), clear)).collect()
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
