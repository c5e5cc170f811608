//! Data that is prepared ahead of its step.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Buffer, Cpu};
use crate::STAGING_BUFFERS;

/// A ring of buffers: whoever fills them is at most so many ahead.
pub struct Staging {
    made: usize,
    used: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
}

/// Data that waits for its copy. Its buffer goes back to the ring afterwards.
pub struct Staged {
    data: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl Default for Staging {
    fn default() -> Self {
        let (home, used) = channel();
        Self { made: 0, used, home }
    }
}

impl Staging {
    /// Copies `data` into the next buffer of the ring; waits until one is free.
    pub fn stage(&mut self, data: &[u8]) -> Staged {
        let mut buffer = if self.made < STAGING_BUFFERS {
            self.made += 1;
            Vec::new()
        } else {
            self.used.recv().expect("the ring itself keeps a sender")
        };
        buffer.clear();
        buffer.extend_from_slice(data);
        Staged { data: buffer, home: self.home.clone() }
    }
}

impl Staged {
    /// Copies the data to the start of `target`.
    pub fn copy_to(self, cpu: &Cpu, target: &Buffer) {
        cpu.write(target, 0, &self.data);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // The ring may be gone.
        let _ = self.home.send(std::mem::take(&mut self.data));
    }
}
