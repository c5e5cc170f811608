//! Groups of options that several commands share, and what they stand for.

pub(crate) mod adamw;
pub(crate) mod classifier;
pub(crate) mod defaults;
pub(crate) mod dropout;
pub(crate) mod ema;
pub(crate) mod encoder;
pub(crate) mod files;
pub(crate) mod head;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod regular;
pub(crate) mod run;
pub(crate) mod weights;
