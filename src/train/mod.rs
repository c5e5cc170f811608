//! Training: schedule, steps, loops and checkpoints. Nothing here prints; loops report events.

pub mod checkpoint;
#[cfg(feature = "native")]
pub mod checkpoints;
pub mod estimate;
#[cfg(feature = "native")]
pub mod event;
#[cfg(feature = "native")]
pub mod features;
#[cfg(feature = "native")]
mod held_out;
#[cfg(feature = "native")]
mod inputs;
#[cfg(feature = "native")]
pub mod knn;
#[cfg(feature = "native")]
pub mod pretrain;
pub mod recipe;
#[cfg(feature = "native")]
pub mod run_folder;
pub mod schedule;
pub mod step;
pub mod trainer;
