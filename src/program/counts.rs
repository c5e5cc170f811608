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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Precision, Processor, add, halve};

    #[test]
    fn ranges_count_what_they_are_and_stand_ins_nothing() {
        let mut rec = Recorder::new(Processor::Gpu, false);
        rec.set_scope("part");
        let slab = ("slab", 1 << 20);
        let range = rec.external_range(Precision::F32, slab, 64, "range", &[3, 100]);
        let out = rec.transient("sum", [300]);
        rec.launch(
            add::Params { count: 300 },
            Default::default(),
            add::Bindings { x: range, out },
            5,
        );
        let (values, halves) = (rec.unused(), rec.external_of(Precision::F16, "halves", [300]));
        let bindings = halve::Bindings { values, halves };
        rec.launch(halve::Params { count: 300 }, Default::default(), bindings, 5);
        rec.clear_first(out);
        assert_eq!(rec.cleared_bytes(), 1200);

        let launches: Vec<LaunchCounts> = rec.launches().collect();
        let [first, second] = &launches[..] else { panic!("{launches:?}") };
        assert_eq!((first.kernel.shader, &*first.computes, first.groups), ("add", "part.sum", 5));
        assert_eq!(first.params::<add::Params>().count, 300);
        let bytes = |launch: &LaunchCounts| -> Vec<(u64, u64, bool)> {
            launch.operands.iter().map(|o| (o.values, o.bytes, o.writes)).collect()
        };
        assert_eq!(bytes(first), [(300, 1200, false), (300, 1200, true)]);
        assert_eq!(bytes(second), [(0, 0, false), (300, 600, true)]);
        assert_eq!(second.computes, "halves (part)");
    }
}
