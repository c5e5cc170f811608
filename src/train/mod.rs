//! Training: schedule, steps, loops and checkpoints. Nothing here prints; loops report events.

#[cfg(feature = "native")]
mod assessment;
pub mod checkpoint;
#[cfg(feature = "native")]
pub mod checkpoints;
#[cfg(feature = "native")]
pub mod derived;
#[cfg(feature = "labels")]
mod drop_path;
pub mod estimate;
#[cfg(feature = "native")]
pub mod evaluate;
#[cfg(feature = "native")]
pub mod event;
#[cfg(feature = "native")]
pub mod features;
#[cfg(feature = "native")]
mod feed;
#[cfg(feature = "native")]
pub mod forward_costs;
#[cfg(feature = "native")]
mod held_out;
#[cfg(feature = "native")]
mod inputs;
#[cfg(feature = "native")]
pub mod knn;
#[cfg(feature = "native")]
pub mod labels;
#[cfg(feature = "native")]
mod online_probe;
pub mod paper;
#[cfg(feature = "native")]
mod prepare;
pub mod recipe;
#[cfg(feature = "native")]
pub mod roofline;
#[cfg(feature = "native")]
pub mod run;
#[cfg(feature = "native")]
mod run_display;
#[cfg(feature = "native")]
mod run_files;
#[cfg(feature = "native")]
pub mod run_folder;
#[cfg(feature = "native")]
mod run_lock;
#[cfg(feature = "native")]
mod same_data;
pub mod schedule;
#[cfg(feature = "native")]
mod staged_feed;
pub mod step;
#[cfg(feature = "native")]
mod target_params;
pub mod trainer;
