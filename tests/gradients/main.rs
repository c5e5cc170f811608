//! Gradients of whole objectives: against finite differences of the loss, accumulated over batches
//! against one batch, and of a part of the parameters against those of all.

mod classifiers;
#[path = "../common/mod.rs"]
mod common;
mod masked;
mod partial;
mod slopes;
