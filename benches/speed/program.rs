//! A recording on random values, timed.

use std::time::{Duration, Instant};

use pollster::block_on;
use webmae::philox::Rng;
use webmae::program::{Buffers, Device, Program, Recorder};

/// Most runs that wait in the queue at once.
pub const QUEUED: u64 = 64;

/// A program whose external buffers hold normal values.
pub struct Timed {
    device: Device,
    pub program: Program,
    /// An external buffer, to wait for.
    label: String,
}

impl Timed {
    pub fn new(device: &Device, rec: &Recorder) -> Self {
        let program = Program::build(device, rec, &Buffers::new()).expect("a program");
        let mut rng = Rng::new(0, [0; 3]);
        for (label, bytes) in &program.plan().externals {
            let values: Vec<f32> = (0..bytes / 4).map(|_| 0.1 * rng.normal()).collect();
            program.write(label, &values);
        }
        let label = program.plan().externals[0].0.clone();
        Self { device: device.clone(), program, label }
    }

    /// The time of `runs` runs.
    pub fn run(&self, runs: u64) -> Duration {
        let wait = || {
            block_on(self.device.read(self.program.buffer(&self.label), 0, 4)).expect("a result");
        };
        wait();
        let began = Instant::now();
        for run in 1..=runs {
            self.program.submit();
            if run % QUEUED == 0 || run == runs {
                wait();
            }
        }
        began.elapsed()
    }
}
