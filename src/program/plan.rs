//! The memory plan: transient tensors share buffers by liveness.

use super::recorder::{Place, Recorder};
use crate::error::{Error, Result};
use crate::kernels::BINDING_ALIGNMENT;
use crate::order::sort_indices;
use crate::remedy::Remedy;
use crate::setting::Setting;
use crate::tensor::by_name;

/// Memory and work of a recorded program.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes of each buffer that transient tensors share.
    pub slots: Vec<u64>,
    /// Which slot holds each transient tensor; `None` for others and for tensors never used.
    pub(super) slot_of: Vec<Option<usize>>,
    /// Buffers that outlive a run (parameters, gradients, inputs, results): label and bytes.
    /// Programs share those of the same label.
    pub externals: Vec<(String, u64)>,
    /// Largest range bound to a kernel.
    pub largest_binding: u64,
    /// Whose range that is.
    pub largest_binding_label: String,
    /// Kernel launches of one run.
    pub dispatches: usize,
    /// Floating-point operations of the matrix products and attention of one run.
    pub flops: u64,
}

impl Plan {
    /// Plans `recorder`'s memory so that tensors alive at the same time never share a buffer.
    ///
    /// A slot belongs to one tensor at a time. So a kernel never reads and writes the same buffer,
    /// which WebGPU forbids, and every binding is as small as its tensor.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] if a tensor is larger than `max_binding` bytes.
    pub fn new(recorder: &Recorder, max_binding: u64) -> Result<Self> {
        let tensors = &recorder.tensors;
        let mut lives: Vec<Option<Life>> = vec![None; tensors.len()];
        let (mut largest_binding, mut largest_binding_label) = (0, String::new());
        for (i, op) in recorder.recorded.iter().enumerate() {
            for &tensor in &op.bindings {
                let info = &tensors[tensor.0];
                let bytes = info.bytes();
                if bytes > max_binding {
                    return Err(too_large(&info.label, &info.shape, bytes, max_binding));
                }
                if bytes > largest_binding {
                    (largest_binding, largest_binding_label) = (bytes, info.label.clone());
                }
                if info.place == Place::Transient {
                    let bytes = bytes.max(4).next_multiple_of(BINDING_ALIGNMENT);
                    lives[tensor.0].get_or_insert(Life { bytes, first: i, last: i }).last = i;
                }
            }
        }
        let (slots, slot_of) = assign_slots(&lives);
        Ok(Self {
            slots,
            slot_of,
            externals: recorder.externals.iter().map(|e| (e.label.clone(), e.bytes)).collect(),
            largest_binding,
            largest_binding_label,
            dispatches: recorder.recorded.len(),
            flops: recorder.recorded.iter().map(|op| op.flops).sum(),
        })
    }

    /// Bytes of all shared activation buffers.
    pub fn transient_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Bytes that programs need together on the device.
    pub fn total_bytes(plans: &[&Plan]) -> u64 {
        let transient: u64 = plans.iter().map(|plan| plan.transient_bytes()).sum();
        let externals = plans.iter().flat_map(|plan| &plan.externals);
        let externals = by_name(externals.map(|(label, bytes)| (label.as_str(), *bytes)));
        transient + externals.values().sum::<u64>()
    }
}

/// A tensor's bytes, and the first and last launch that binds it.
#[derive(Clone, Copy)]
struct Life {
    bytes: u64,
    first: usize,
    last: usize,
}

impl Life {
    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Bytes of the slots, and the slot of each tensor that lives: the largest first, each in the smallest slot
/// that is free all its life. So no slot grows, and none is held by a small tensor that outlives others
/// while there is a smaller one (Pisarchyk and Lee 2020, greedy by size).
fn assign_slots(lives: &[Option<Life>]) -> (Vec<u64>, Vec<Option<usize>>) {
    let bytes = |i: usize| lives[i].map(|life| life.bytes);
    let mut order: Vec<usize> = (0..lives.len()).collect();
    sort_indices(&mut order, &|a, b| bytes(b).cmp(&bytes(a)));
    let mut slots: Vec<u64> = Vec::new();
    let mut tenants: Vec<Vec<Life>> = Vec::new();
    let mut slot_of = vec![None; lives.len()];
    for i in order {
        let Some(life) = lives[i] else { continue };
        // Slots are made in order of size.
        let free = |tenants: &Vec<Life>| tenants.iter().all(|&other| !life.overlaps(other));
        let slot = tenants.iter().rposition(free).unwrap_or_else(|| {
            slots.push(life.bytes);
            tenants.push(Vec::new());
            slots.len() - 1
        });
        tenants[slot].push(life);
        slot_of[i] = Some(slot);
    }
    (slots, slot_of)
}

fn too_large(label: &str, shape: &[usize], bytes: u64, limit: u64) -> Error {
    let fitting = shape.first().map_or(0, |&n| n as u64 * limit / bytes);
    let (advice, remedies) = if shape.len() > 1 && fitting > 0 {
        ("", vec![Remedy::set(Setting::BatchSize, fitting).with_more_batches()])
    } else {
        ("; make the model or its images smaller", Vec::new())
    };
    let mib = |n: u64| n as f64 / (1u64 << 20) as f64;
    Error::DoesNotFit {
        problem: format!(
            "{label} {shape:?} takes {:.1} MiB, one binding holds {:.1} MiB{advice}",
            mib(bytes),
            mib(limit)
        ),
        remedies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Processor, add};
    use crate::program::Tensor;

    fn launch_add(rec: &mut Recorder, count: usize, x: Tensor, out: Tensor) {
        let params = add::Params { count: count as u32 };
        rec.launch(params, add::Constants::default(), add::Bindings { x, out }, 1);
    }

    fn chain(lengths: &[usize]) -> Recorder {
        let mut rec = Recorder::new(Processor::Gpu, false);
        let mut x = rec.external("input", [lengths[0]]);
        for &n in lengths {
            let y = rec.transient("y", [n]);
            launch_add(&mut rec, n, x, y);
            x = y;
        }
        rec
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let plan = Plan::new(&chain(&[64, 64, 64, 64, 64]), 1 << 20).unwrap();
        assert_eq!(plan.slots, [256, 256]);
        assert_eq!(plan.dispatches, 5);
    }

    #[test]
    fn neighbours_never_share() {
        let rec = chain(&[64, 640, 64, 6400]);
        let plan = Plan::new(&rec, 1 << 20).unwrap();
        for op in &rec.recorded {
            let slots: Vec<_> = op.bindings.iter().filter_map(|t| plan.slot_of[t.0]).collect();
            assert!(slots.len() < 2 || slots[0] != slots[1]);
        }
    }

    #[test]
    fn what_stays_takes_no_larger_slot_than_it_needs() {
        let mut rec = Recorder::new(Processor::Gpu, false);
        let mut x = rec.external("input", [64]);
        let mut stay = Vec::new();
        for _ in 0..3 {
            let [large, small] = [640, 64].map(|n| rec.transient("y", [n]));
            launch_add(&mut rec, 640, x, large);
            launch_add(&mut rec, 64, large, small);
            stay.push(small);
            x = small;
        }
        for pair in stay.windows(2) {
            launch_add(&mut rec, 64, pair[0], pair[1]);
        }
        let plan = Plan::new(&rec, 1 << 20).unwrap();
        assert_eq!(plan.slots, [2560, 256, 256, 256]);
    }

    #[test]
    fn an_oversized_tensor_is_refused_with_the_batch_that_fits() {
        let mut rec = Recorder::new(Processor::Gpu, false);
        let x = rec.transient("x", [64, 1 << 20]);
        let y = rec.transient("y", [4]);
        launch_add(&mut rec, 4, x, y);
        let error = Plan::new(&rec, 128 << 20).unwrap_err().to_string();
        assert!(error.contains("try batch_size 32 and a larger grad_accum"), "{error}");
    }
}
