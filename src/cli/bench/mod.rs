//! `webmae bench`: which workloads are run (`runs`), with which kernels (`variants`), how the results are printed,
//! kept ([`file`]) and compared ([`compare`]); and how fast batches are prepared ([`loader`]).

pub(crate) mod against;
pub(crate) mod args;
pub(crate) mod batches;
pub mod compare;
mod file;
pub mod loader;
pub(crate) mod print;
pub(crate) mod runs;
pub(crate) mod variants;
