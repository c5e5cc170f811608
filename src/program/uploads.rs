//! Data that is in staging memory before it is asked for.

use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use super::device::Device;
use super::transfer::Staging;
use crate::error::{Error, Result};
use crate::setting::Setting;

/// What a thread prepares and stages in order, ahead of the thread that submits it. The ring of staging buffers
/// bounds how far ahead. Dropping it stops the thread after what it is at.
pub struct Uploads<T> {
    /// None while it is being dropped.
    ready: Option<Receiver<Result<T>>>,
    producer: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Uploads<T> {
    /// Calls `produce` again and again, in a thread of its own, until it fails. Every result should hold
    /// something that was staged, of at most `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if the system starts no thread.
    pub fn start(
        device: &Device,
        bytes: u64,
        mut produce: impl FnMut(&mut Staging) -> Result<T> + Send + 'static,
    ) -> Result<Self> {
        let mut staging = Staging::new(device, bytes);
        let (sender, ready) = channel();
        let run = move || {
            loop {
                let next = produce(&mut staging);
                let failed = next.is_err();
                if sender.send(next).is_err() || failed {
                    return;
                }
            }
        };
        let producer = thread::Builder::new().name("upload".to_owned()).spawn(run);
        let producer = producer.map_err(|problem| {
            Error::config(Setting::Threads, format!("none can be started: {problem}"))
        })?;
        Ok(Self { ready: Some(ready), producer: Some(producer) })
    }

    /// The next result; waits until it is ready.
    ///
    /// # Errors
    /// What ended the thread, once.
    pub fn take(&mut self) -> Result<T> {
        let received = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        received.unwrap_or_else(|| Err(Error::config(Setting::Data, "the upload thread has ended")))
    }
}

impl<T> Drop for Uploads<T> {
    fn drop(&mut self) {
        // What was ready goes back to the ring, so that the thread does not wait for it.
        self.ready = None;
        if let Some(producer) = self.producer.take() {
            // If it panicked, the panic was told.
            let _ = producer.join();
        }
    }
}
