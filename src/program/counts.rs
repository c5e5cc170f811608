//! What the launches of a recording do, by count: nothing has run.

use bytemuck::Pod;

use super::recorder::{Recorder, Tensor};
use super::timing::LaunchWork;
use crate::kernels::{Binding, Element, KernelKey, Shader};

/// A recorded launch.
#[derive(Debug, Clone)]
pub struct LaunchCounts {
    /// The variant of the kernel.
    pub kernel: KernelKey,
    /// The tensor that it writes first, with the part of the model.
    pub computes: String,
    /// Extents of the tensors that it reads → writes, e.g. `64×17×192, 576×192 → 64×17×576`.
    pub sizes: String,
    /// Workgroups.
    pub groups: u32,
    /// Matrix FLOPs.
    pub flops: u64,
    /// What is bound from 1 on.
    pub operands: Vec<Operand>,
    uniform: Vec<u32>,
}

/// A tensor that a launch binds, or the range of a buffer that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// Its name in WGSL.
    pub name: &'static str,
    /// Number of values; none if the launch does not touch it.
    pub values: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it is written, perhaps read too; else it is read.
    pub writes: bool,
    /// Whether it holds indices, or a structure.
    pub is_words: bool,
}

impl LaunchCounts {
    /// The launch's uniform.
    ///
    /// # Panics
    /// If `P` is not the kernel's.
    pub fn params<P: Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&self.uniform))
    }
}

impl Recorder {
    /// The launches, in order.
    pub fn launches(&self) -> impl Iterator<Item = LaunchCounts> {
        self.recorded.iter().map(|op| {
            let LaunchWork { sizes, flops, .. } = LaunchWork::of(self, op);
            let bindings = Shader::named(op.kernel.shader).bindings;
            let operand = |(tensor, binding): (&Tensor, &Binding)| {
                let info = &self.tensors[tensor.0];
                let touched = u64::from(!info.is_unused);
                Operand {
                    name: binding.name,
                    values: touched * info.shape.iter().product::<usize>() as u64,
                    bytes: touched * info.bytes(),
                    writes: binding.writes,
                    is_words: binding.element == Element::Word,
                }
            };
            let written = op.accesses().find(|&(_, writes)| writes);
            LaunchCounts {
                kernel: op.kernel.clone(),
                computes: written.map_or(String::new(), |(tensor, _)| self.label_in(op, tensor)),
                sizes,
                groups: op.groups,
                flops,
                operands: op.bindings.iter().zip(bindings).map(operand).collect(),
                uniform: op.uniform.clone(),
            }
        })
    }

    /// Bytes that are zeroed at the start of a run.
    pub fn cleared_bytes(&self) -> u64 {
        self.cleared.iter().map(|tensor| self.tensors[tensor.0].bytes()).sum()
    }
}
