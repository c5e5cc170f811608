//! One process at a time in a run's folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Name of the file that is locked. It stays: removing it would let two processes lock two files of one name.
pub(super) const NAME: &str = ".lock";

/// The right to write into a run's folder. The operating system takes it back when the process ends, however it
/// ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the folder `run`, which exists.
    ///
    /// # Errors
    /// [`Error::BadFile`] names the process that has it; [`Error::Io`] if the folder cannot be written.
    pub fn take(run: &Path) -> Result<Self> {
        let path = run.join(NAME);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {
                let id = std::process::id().to_string();
                let write =
                    |file: &mut File| file.set_len(0).and_then(|()| file.write_all(id.as_bytes()));
                write(&mut file).map_err(Error::io(&path))?;
            }
            Err(TryLockError::WouldBlock) => {
                let mut id = String::new();
                // Some systems let nobody read what is locked.
                let who = match file.read_to_string(&mut id) {
                    Ok(1..) => format!("process {id}"),
                    _ => "another process".to_owned(),
                };
                let problem = format!("in use by {who}; wait for its end, or stop it first");
                return Err(Error::bad_file(run, problem));
            }
            // A file system without locks, as some networks have.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io(&path)(e)),
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let refused = RunLock::take(folder.path()).unwrap_err().to_string();
        let who = format!("process {}", std::process::id());
        assert!(refused.contains(&who) || refused.contains("another process"), "{refused}");
        drop(lock);
        RunLock::take(folder.path()).unwrap();
    }
}
