//! Recomputation: the backward pass records parts of the forward pass again, and what lies inside
//! them takes no memory in between.

use std::collections::HashSet;
use std::mem;
use std::ops::Range;

use super::recorder::{Backward, Recorder, Tensor};

impl Recorder {
    /// Whether what [`Self::recomputed`] records from now on is recomputed.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recomputes = recompute;
    }

    /// Records `part` and returns its output. If the recording recomputes and trains anything in it, the
    /// backward pass records it once more, right before its gradients: only its inputs and its output
    /// live until then, and the gradients have the same bits.
    ///
    /// `part` must record the same each time, and write only tensors that it makes itself.
    pub fn recomputed(&mut self, part: impl Fn(&mut Self) -> Tensor + 'static) -> Tensor {
        if !self.recomputes {
            return part(self);
        }
        let (output, inner) = self.with_own_tape(&part);
        if inner.is_empty() {
            return output;
        }
        self.recomputed_parts += 1;
        let number = self.recomputed_parts;
        self.tape.push(Box::new(move |rec| {
            // The backward pass comes to the last part first, when everything in it is still at hand.
            if number == rec.recomputed_parts {
                rec.backward_of(inner);
            } else {
                rec.recompute(part, output);
            }
        }));
        output
    }

    /// The output of `part`, and what it puts on the tape.
    fn with_own_tape(&mut self, part: impl Fn(&mut Self) -> Tensor) -> (Tensor, Vec<Backward>) {
        let outer = mem::take(&mut self.tape);
        let output = part(self);
        (output, mem::replace(&mut self.tape, outer))
    }

    /// Records the `part` that made `output` again, and its backward pass.
    fn recompute(&mut self, part: impl Fn(&mut Self) -> Tensor, output: Tensor) {
        let Some(grad) = self.grad(output) else { return };
        let first = self.recorded.len();
        let (again, inner) = self.with_own_tape(part);
        let forward = first..self.recorded.len();
        self.set_grad(again, grad);
        self.backward_of(inner);
        self.drop_unread(forward);
    }

    /// Drops the launches in `range` whose results no later launch needs, such as a part's last product.
    fn drop_unread(&mut self, range: Range<usize>) {
        let later = &self.recorded[range.end..];
        let mut needed: HashSet<Tensor> =
            later.iter().flat_map(|op| op.bindings.iter().copied()).collect();
        let mut kept = Vec::new();
        for op in self.recorded.drain(range.clone()).rev() {
            if op.accesses().any(|(tensor, writes)| writes && needed.contains(&tensor)) {
                needed.extend(&op.bindings);
                kept.push(op);
            }
        }
        self.recorded.splice(range.start..range.start, kept.into_iter().rev());
    }
}
