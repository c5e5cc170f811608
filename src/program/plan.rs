//! The memory plan: transient tensors share buffers by liveness.

use std::collections::BTreeMap;

use super::recorder::{Place, Recorder};
use crate::error::{Error, Result};
use crate::gpu::BINDING_ALIGNMENT;

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
        let mut last_use = vec![0; tensors.len()];
        for (i, op) in recorder.recorded.iter().enumerate() {
            for &tensor in &op.bindings {
                last_use[tensor.0] = i;
            }
        }
        let mut slots: Vec<u64> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut slot_of = vec![None; tensors.len()];
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
                if info.place == Place::Transient && slot_of[tensor.0].is_none() {
                    let rounded = bytes.max(4).next_multiple_of(BINDING_ALIGNMENT);
                    slot_of[tensor.0] = Some(take_slot(&mut slots, &mut free, rounded));
                }
            }
            for &tensor in &op.bindings {
                if let Some(slot) = slot_of[tensor.0]
                    && last_use[tensor.0] == i
                    && !free.contains(&slot)
                {
                    free.push(slot);
                }
            }
        }
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
        let externals: BTreeMap<&str, u64> =
            plans.iter().flat_map(|plan| &plan.externals).map(|(l, n)| (l.as_str(), *n)).collect();
        transient + externals.values().sum::<u64>()
    }
}

/// The smallest free slot that is large enough, else the largest free one, grown, else a new one.
fn take_slot(slots: &mut Vec<u64>, free: &mut Vec<usize>, bytes: u64) -> usize {
    let fits = free.iter().enumerate().filter(|&(_, &s)| slots[s] >= bytes);
    let best = fits.min_by_key(|&(_, &s)| (slots[s], s)).map(|(at, _)| at);
    let chosen = best
        .or_else(|| free.iter().enumerate().max_by_key(|&(_, &s)| (slots[s], s)).map(|(at, _)| at));
    match chosen {
        Some(at) => {
            let slot = free.swap_remove(at);
            slots[slot] = slots[slot].max(bytes);
            slot
        }
        None => {
            slots.push(bytes);
            slots.len() - 1
        }
    }
}

fn too_large(label: &str, shape: &[usize], bytes: u64, limit: u64) -> Error {
    let fitting = shape.first().map_or(0, |&n| n as u64 * limit / bytes);
    let advice = if shape.len() > 1 && fitting > 0 {
        format!("; a batch of {fitting} would fit (--grad-accum keeps the effective batch)")
    } else {
        "; make the model or its images smaller".to_owned()
    };
    let mib = |n: u64| n as f64 / (1u64 << 20) as f64;
    Error::DoesNotFit {
        problem: format!(
            "{label} {shape:?} takes {:.1} MiB, one binding holds {:.1} MiB{advice}",
            mib(bytes),
            mib(limit)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Tier;

    fn chain(lengths: &[usize]) -> Recorder {
        let mut rec = Recorder::new(Tier::Gpu, false);
        let mut x = rec.external("input", [lengths[0]]);
        for &n in lengths {
            let y = rec.transient("y", [n]);
            rec.dispatch("add", &[], &[n as u32], &[x, y], 1);
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
    fn neighbours_never_share_and_slots_grow() {
        let rec = chain(&[64, 640, 64, 6400]);
        let plan = Plan::new(&rec, 1 << 20).unwrap();
        for op in &rec.recorded {
            let slots: Vec<_> = op.bindings.iter().filter_map(|t| plan.slot_of[t.0]).collect();
            assert!(slots.len() < 2 || slots[0] != slots[1]);
        }
        assert_eq!(plan.slots.iter().max(), Some(&25_600));
    }

    #[test]
    fn an_oversized_tensor_is_refused_with_the_batch_that_fits() {
        let mut rec = Recorder::new(Tier::Gpu, false);
        let x = rec.transient("x", [64, 1 << 20]);
        let y = rec.transient("y", [4]);
        rec.dispatch("add", &[], &[4], &[x, y], 1);
        let error = Plan::new(&rec, 128 << 20).unwrap_err().to_string();
        assert!(error.contains("a batch of 32 would fit"), "{error}");
    }
}
