//! One error type for the whole crate. A message says what went wrong, what was found, what the
//! limit is and what to try, so that a command line can print it as it is.

use std::path::{Path, PathBuf};

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of a configuration, an option or an argument that cannot be used.
    #[error("{option}: {problem}")]
    Config {
        /// The field or option at fault, e.g. `--patch-size`.
        option: String,
        /// What is wrong, the value found, and what would be accepted.
        problem: String,
    },
    /// No graphics adapter could be used.
    #[error("no usable GPU adapter: {problem}")]
    NoAdapter {
        /// What was looked for, what was found, what to install.
        problem: String,
    },
    /// The device refused or lost something that the program needs.
    #[error("GPU device: {problem}")]
    Device {
        /// The driver's message and what to try.
        problem: String,
    },
    /// The driver had not enough memory.
    #[error("out of memory: {problem}")]
    OutOfMemory {
        /// What to make smaller.
        problem: String,
    },
    /// The device is gone: a driver reset, a graphics card that was pulled, a browser that needed it.
    #[error("the GPU device was lost: {problem}")]
    DeviceLost {
        /// The driver's message and the way on.
        problem: String,
    },
    /// The work does not fit into the adapter's limits or memory.
    #[error("does not fit: {problem}")]
    DoesNotFit {
        /// The numbers, and what to make smaller.
        problem: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file whose content is not what it should be.
    #[error("{}: {problem}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, what to try.
        problem: String,
    },
    /// A weights file that lacks tensors, holds others, or holds them in other sizes.
    #[error("weights: {problem}")]
    BadWeights {
        /// The tensor's name, expected and found shapes, the kind of file needed.
        problem: String,
    },
    /// A benchmark was slower than a saved one.
    #[error("slower than the saved run: {problem}")]
    Slower {
        /// The workloads, their ratios and the limit.
        problem: String,
    },
    /// Training produced NaN or infinity several times in a row.
    #[error("training diverged: {problem}")]
    Diverged {
        /// The first tensor that is not finite, the step, and what to try.
        problem: String,
    },
}

impl Error {
    /// An [`Error::Config`] about `option`.
    pub fn config(option: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { option: option.into(), problem: problem.into() }
    }

    /// An [`Error::BadFile`] about `path`.
    pub fn bad_file(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// Names the file that an error about weights came from: [`Error::BadWeights`] becomes
    /// [`Error::BadFile`], others stay.
    pub fn in_file(self, path: impl AsRef<Path>) -> Self {
        match self {
            Self::BadWeights { problem } => Self::bad_file(path, format!("weights: {problem}")),
            other => other,
        }
    }

    /// Turns an [`std::io::Error`] about `path` into an [`Error::Io`]; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}
