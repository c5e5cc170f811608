//! Where pictures come from: folders, CIFAR batches, memory, drawn ones; and what is held out of them.

#[cfg(feature = "native")]
pub mod cifar;
#[cfg(feature = "native")]
pub mod folder;
#[cfg(feature = "native")]
mod held_out;
pub mod memory;
#[cfg(feature = "native")]
mod names;
#[cfg(feature = "native")]
pub mod open;
#[cfg(feature = "native")]
pub mod options;
pub mod source;
#[cfg(feature = "native")]
pub mod split;
pub mod synthetic;
#[cfg(feature = "native")]
mod walk;
