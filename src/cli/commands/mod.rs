//! The commands: the options of each, and what it does.

pub(crate) mod ablate;
pub(crate) mod bench;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod info;
pub(crate) mod knn;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod pretrain;
pub(crate) mod reconstruct;
pub(crate) mod report;
pub(crate) mod supervised;
pub(crate) mod tune;
pub(crate) mod verify;
