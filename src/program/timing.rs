//! What a dispatch costs: its time, and the work to hold that against.

use super::recorder::{Recorded, Recorder};

/// Time and work of one dispatch of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatchTime {
    /// Shader's name.
    pub kernel: &'static str,
    /// The tensor that it writes first, with the part of the model.
    pub computes: String,
    /// Extents of the tensors that it reads → writes, e.g. `64×17×192, 576×192 → 64×17×576`.
    pub sizes: String,
    /// Time between two timestamps around it.
    pub nanoseconds: f64,
    /// Its matrix FLOPs.
    pub flops: u64,
    /// Bytes of all that it binds; what is read and written counts once.
    pub bytes: u64,
}

impl DispatchTime {
    /// GFLOP per second of matrix work.
    pub fn gflops(&self) -> f64 {
        self.flops as f64 / self.nanoseconds.max(1.0)
    }

    /// Gigabytes (10⁹) per second of what it binds.
    pub fn gigabytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.nanoseconds.max(1.0)
    }
}

/// A dispatch's work, known when it is recorded; the fields are those of [`DispatchTime`].
pub(super) struct LaunchWork {
    pub sizes: String,
    pub flops: u64,
    pub bytes: u64,
}

impl LaunchWork {
    /// FLOPs, and for every byte that is bound as many as GPUs compute in f32 while they move one: a few on a phone,
    /// dozens on a graphics card.
    #[cfg(feature = "gpu")]
    pub fn cost(&self) -> u64 {
        const FLOPS_PER_BYTE: u64 = 16;
        self.flops + FLOPS_PER_BYTE * self.bytes
    }

    /// The work of `op`, one of `recorder`'s.
    pub fn of(recorder: &Recorder, op: &Recorded) -> Self {
        let mut bytes = 0;
        let (mut read, mut written) = (Vec::new(), Vec::new());
        for (tensor, writes) in op.accesses() {
            let info = &recorder.tensors[tensor.0];
            if info.is_unused {
                continue;
            }
            bytes += info.bytes();
            let extents: Vec<String> = info.shape.iter().map(ToString::to_string).collect();
            let side = if writes { &mut written } else { &mut read };
            side.push(extents.join("×"));
        }
        let sizes = format!("{} → {}", read.join(", "), written.join(", "));
        Self { sizes, flops: op.flops, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Processor, mean_pool};
    use crate::program::Work;

    #[test]
    fn work_is_that_of_the_tensors_bound() {
        let mut rec = Recorder::new(Processor::Gpu, false);
        let (x, y) = (rec.external("x", [2, 5, 8]), rec.external("y", [2, 8]));
        let params = mean_pool::Params { tokens: 5, first: 0, pooled: 5, dim: 8, count: 16 };
        let work = Work { groups: 1, flops: 80 };
        rec.launch_work(params, Default::default(), mean_pool::Bindings { x, y }, work);
        let work = LaunchWork::of(&rec, &rec.recorded[0]);
        assert_eq!(work.sizes, "2×5×8 → 2×8");
        assert_eq!((work.flops, work.bytes), (80, 4 * (80 + 16)));
    }
}
