//! One error type for the whole crate. A message says what went wrong, what was found, what the
//! limit is and what to try. It names settings by this library's fields; [`Error::worded`] names them
//! as another kind of user knows them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::remedy::{Remedy, advice};
use crate::setting::{FieldNames, Setting, Wording};

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting with a value that cannot be used.
    Config {
        /// The setting at fault.
        setting: Setting,
        /// What is wrong, the value found, and what would be accepted.
        problem: String,
        /// What to change about other settings.
        remedies: Vec<Remedy>,
    },
    /// Something else that a caller handed over and that cannot be used, such as pixels of another number.
    Argument {
        /// What was handed over.
        what: String,
        /// What is wrong, what was found, and what would be accepted.
        problem: String,
    },
    /// No graphics adapter could be used.
    NoAdapter {
        /// What was looked for, what was found, what to install.
        problem: String,
        /// What else would run.
        remedies: Vec<Remedy>,
    },
    /// The device refused or lost something that the program needs.
    Device {
        /// The driver's message and what to try.
        problem: String,
    },
    /// The driver had not enough memory.
    OutOfMemory {
        /// What there was no memory for.
        problem: String,
        /// What takes less.
        remedies: Vec<Remedy>,
    },
    /// The device is gone: a driver reset, a graphics card that was pulled, a browser that needed it.
    DeviceLost {
        /// The driver's message and the way on.
        problem: String,
    },
    /// The work does not fit into the adapter's limits or memory.
    DoesNotFit {
        /// The numbers.
        problem: String,
        /// What fits, or takes less.
        remedies: Vec<Remedy>,
    },
    /// A file or folder could not be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file whose content is not what it should be.
    BadFile {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, what to try.
        problem: String,
    },
    /// A weights file that lacks tensors, holds others, or holds them in other sizes.
    BadWeights {
        /// The tensor's name, expected and found shapes, the kind of file needed.
        problem: String,
    },
    /// A benchmark was slower than a saved one.
    Slower {
        /// The workloads, their ratios and the limit.
        problem: String,
    },
    /// Training produced NaN or infinity several times in a row.
    Diverged {
        /// The first tensor that is not finite, and the step.
        problem: String,
        /// What makes training steadier.
        remedies: Vec<Remedy>,
    },
}

/// The message, with settings by the names of this library's fields.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.worded(&FieldNames))
    }
}

impl Error {
    /// An [`Error::Config`] about `setting`, whose problem says what would be accepted.
    pub fn config(setting: Setting, problem: impl Into<String>) -> Self {
        Self::Config { setting, problem: problem.into(), remedies: Vec::new() }
    }

    /// An [`Error::Argument`] about `what` a caller handed over.
    pub fn argument(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Argument { what: what.into(), problem: problem.into() }
    }

    /// The message, with settings named by `words`.
    pub fn worded(&self, words: &dyn Wording) -> String {
        match self {
            Self::Config { setting, problem, remedies } => {
                format!("{}: {problem}{}", words.name(*setting), advice(remedies, words))
            }
            Self::Argument { what, problem } => format!("{what}: {problem}"),
            Self::NoAdapter { problem, remedies } => {
                format!("no usable GPU adapter: {problem}{}", advice(remedies, words))
            }
            Self::Device { problem } => format!("GPU device: {problem}"),
            Self::OutOfMemory { problem, remedies } => {
                format!("out of memory: {problem}{}", advice(remedies, words))
            }
            Self::DeviceLost { problem } => format!("the GPU device was lost: {problem}"),
            Self::DoesNotFit { problem, remedies } => {
                format!("does not fit: {problem}{}", advice(remedies, words))
            }
            Self::Io { path, source } => format!("{}: {source}", path.display()),
            Self::BadFile { path, problem } => format!("{}: {problem}", path.display()),
            Self::BadWeights { problem } => format!("weights: {problem}"),
            Self::Slower { problem } => format!("slower than the saved run: {problem}"),
            Self::Diverged { problem, remedies } => {
                format!("training diverged: {problem}{}", advice(remedies, words))
            }
        }
    }

    /// An [`Error::BadFile`] about `path`.
    pub fn bad_file(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// Names the file that an error about weights came from: [`Error::BadWeights`] becomes
    /// [`Error::BadFile`], [`Error::Config`] says it in its problem, others stay.
    pub fn in_file(self, path: impl AsRef<Path>) -> Self {
        match self {
            Self::BadWeights { problem } => Self::bad_file(path, format!("weights: {problem}")),
            Self::Config { setting, problem, remedies } => {
                let problem = format!("{}: {problem}", path.as_ref().display());
                Self::Config { setting, problem, remedies }
            }
            other => other,
        }
    }

    /// The message of an error about a file that is named beside it.
    pub(crate) fn without_file(self) -> String {
        match self {
            Self::BadFile { problem, .. } => problem,
            Self::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }

    /// Turns an [`std::io::Error`] about `path` into an [`Error::Io`]; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}
