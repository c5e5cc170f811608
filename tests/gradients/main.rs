//! Gradients of whole objectives: against finite differences of the loss, accumulated over batches
//! against one batch, of a part of the parameters against those of all, and recomputed ones bit by bit.

mod classifiers;
#[path = "../common/mod.rs"]
mod common;
mod masked;
mod partial;
mod recompute;
mod slopes;
