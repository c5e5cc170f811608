//! Training: schedule, steps, loops and checkpoints. Nothing here prints; loops report events.

pub mod step;
